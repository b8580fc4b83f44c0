// The version that answers state.
import { version } from "../cli/version.ts";

export { version };

/**
 * OpenAI's system_fingerprint: the same build, model and seed give the same text. llama.cpp's
 * clients expect a "b" in front.
 */
export const fingerprint = `b${version}-wrinklefree`;
