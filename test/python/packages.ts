// The Python clients that the tests run, with their versions.

export const clients = ["openai==3.57.0", "lm_eval[api]==0.4.13"];
export const router = ["sglang-router==0.3.2"];
