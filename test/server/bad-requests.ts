// Wrong requests: where they go, what they say, and the field that the answer must name.

export interface BadRequest {
  readonly path: string;
  /** An object is sent as JSON; text as it is. */
  readonly body: unknown;
  /** What `param` must be; null: the request as a whole. */
  readonly param: string | null;
  readonly status?: number;
}

const prompt = "Once upon a time";
const messages = [{ role: "user", content: "Hi" }];

/** Values of the wrong type or range of fields that every generating route shares. */
const sharedFields: readonly [field: string, ...values: unknown[]][] = [
  ["temperature", "hot", true, [1], {}],
  ["top_p", -0.1, 1.1, "0.5"],
  ["top_k", 1.5, "40", [40]],
  ["min_p", 2, "x"],
  ["seed", 1.5, "1", {}],
  ["max_tokens", -2, 1.5, "10", true],
  ["presence_penalty", "x"],
  ["frequency_penalty", []],
  ["repeat_penalty", "x"],
  ["repeat_last_n", -5, 0.5],
  ["stop", 5, { a: 1 }, [1]],
  ["stream", "yes", 1],
  ["model", 5, ["tern"]],
  ["logit_bias", "x", 5],
  ["min_tokens", -1, "x"],
  ["ignore_eos", "true"],
  ["cache_prompt", "no"],
  ["stop_token_ids", 5, {}],
  ["samplers", 5],
  ["grammar", 5],
  ["json_schema", "object"],
  ["priority", "high"],
];

/** Each route with a good body that a wrong field is added to. */
const generating: readonly [path: string, good: object][] = [
  ["/completion", { prompt, n_predict: 1 }],
  ["/v1/completions", { prompt, max_tokens: 1 }],
  ["/v1/chat/completions", { messages, max_tokens: 1 }],
];

const shared: BadRequest[] = generating.flatMap(([path, good]) =>
  sharedFields.flatMap(([field, ...values]) =>
    values.map((value) => ({ path, body: { ...good, [field]: value }, param: field })),
  ),
);

const bodies: BadRequest[] = [
  "/completion",
  "/v1/completions",
  "/v1/chat/completions",
  "/tokenize",
  "/detokenize",
  "/v1/responses",
  "/generate",
].flatMap((path) =>
  ["", "{", "nonsense", "[]", "null", '"text"', "5", '{"a":}'].map((body) => ({
    path,
    body,
    param: null,
  })),
);

const completion: BadRequest[] = [
  { body: {}, param: "prompt" },
  { body: { prompt: null }, param: "prompt" },
  { body: { prompt: 5 }, param: "prompt" },
  { body: { prompt: {} }, param: "prompt" },
  { body: { prompt: true }, param: "prompt" },
  { body: { prompt: [] }, param: "prompt" },
  { body: { prompt: [[]] }, param: "prompt[0]" },
  { body: { prompt: [1, true] }, param: "prompt[1]" },
  { body: { prompt: [-1] }, param: "prompt[0]" },
  { body: { prompt: [1.5] }, param: "prompt[0]" },
  { body: { prompt: [4096] }, param: "prompt[0]" },
  { body: { prompt: [1e30] }, param: "prompt[0]" },
  { body: { prompt: [[1], [99999]] }, param: "prompt[1][0]" },
  { body: { prompt: ["a", null] }, param: "prompt[1]" },
  { body: { prompt: ["a", { x: 1 }] }, param: "prompt[1]" },
  { body: { prompt: Array(300).fill("a") }, param: "prompt" },
  { body: { prompt: Array(600).fill(100) }, param: "prompt" },
  { body: { prompt: "word ".repeat(2000) }, param: "prompt" },
  { body: { prompt, stop: Array(65).fill("x") }, param: "stop" },
  { body: { prompt, stop_token_ids: [5000] }, param: "stop_token_ids[0]" },
  { body: { prompt, logit_bias: { "99999": 1 } }, param: "logit_bias" },
  { body: { prompt, logit_bias: [[1]] }, param: "logit_bias" },
  { body: { prompt, samplers: ["no_such_sampler"] }, param: "samplers" },
  { body: { prompt, grammar: "root := x" }, param: "grammar" },
  { body: { prompt, grammar: "root ::= missing" }, param: "grammar" },
  { body: { prompt, grammar: 'root ::= "a' }, param: "grammar" },
  { body: { prompt, json_schema: { type: "nothing" } }, param: "json_schema" },
  { body: { prompt, json_schema: {}, grammar: 'root ::= "a"' }, param: "json_schema" },
].flatMap((request) => [
  { path: "/completion", ...request },
  { path: "/v1/completions", ...request },
]);

const single: BadRequest[] = [
  { path: "/completion", body: { prompt, n_probs: -1 }, param: "n_probs" },
  { path: "/completion", body: { prompt, n_probs: 1000 }, param: "n_probs" },
  { path: "/completion", body: { prompt, n: 0 }, param: "n" },
  { path: "/completion", body: { prompt, n_predict: -2 }, param: "n_predict" },
  { path: "/completion", body: { prompt, n_keep: -2 }, param: "n_keep" },
  { path: "/completion", body: { prompt, response_fields: "content" }, param: "response_fields" },
  { path: "/v1/completions", body: { prompt, logprobs: -1 }, param: "logprobs" },
  { path: "/v1/completions", body: { prompt, logprobs: 1000 }, param: "logprobs" },
  { path: "/v1/completions", body: { prompt, logprobs: "5" }, param: "logprobs" },
  { path: "/v1/completions", body: { prompt, n: 0 }, param: "n" },
  { path: "/v1/completions", body: { prompt, n: 129 }, param: "n" },
  { path: "/v1/completions", body: { prompt, n: 3, best_of: 2 }, param: "best_of" },
  { path: "/v1/completions", body: { prompt, best_of: 2, stream: true }, param: "best_of" },
  { path: "/v1/completions", body: { prompt, echo: "yes" }, param: "echo" },
  { path: "/v1/completions", body: { prompt, suffix: "the end" }, param: "suffix" },
  { path: "/v1/chat/completions", body: {}, param: "messages" },
  { path: "/v1/chat/completions", body: { messages: [] }, param: "messages" },
  { path: "/v1/chat/completions", body: { messages: "Hi" }, param: "messages" },
  { path: "/v1/chat/completions", body: { messages: ["Hi"] }, param: "messages[0]" },
  {
    path: "/v1/chat/completions",
    body: { messages: [{ content: "x" }] },
    param: "messages[0].role",
  },
  { path: "/v1/chat/completions", body: { messages: [{ role: 5 }] }, param: "messages[0].role" },
  {
    path: "/v1/chat/completions",
    body: { messages: [{ role: "user" }] },
    param: "messages[0].content",
  },
  {
    path: "/v1/chat/completions",
    body: { messages: [{ role: "user", content: 5 }] },
    param: "messages[0].content",
  },
  {
    path: "/v1/chat/completions",
    body: { messages: [{ role: "user", content: [{ type: "image_url", image_url: {} }] }] },
    param: "messages[0].content",
  },
  {
    path: "/v1/chat/completions",
    body: { messages: [{ role: "user", content: "word ".repeat(2000) }] },
    param: "prompt",
  },
  { path: "/v1/chat/completions", body: { messages, top_logprobs: 2 }, param: "top_logprobs" },
  {
    path: "/v1/chat/completions",
    body: { messages, logprobs: true, top_logprobs: 21 },
    param: "top_logprobs",
  },
  { path: "/v1/chat/completions", body: { messages, logprobs: 5 }, param: "logprobs" },
  { path: "/v1/chat/completions", body: { messages, n: 0 }, param: "n" },
  { path: "/v1/chat/completions", body: { messages, n: "2" }, param: "n" },
  { path: "/v1/chat/completions", body: { messages, stream_options: 5 }, param: "stream_options" },
  {
    path: "/v1/chat/completions",
    body: { messages, response_format: "json" },
    param: "response_format",
  },
  {
    path: "/v1/chat/completions",
    body: { messages, response_format: { type: "xml" } },
    param: "response_format.type",
  },
  {
    path: "/v1/chat/completions",
    body: { messages, response_format: { type: "json_schema" } },
    param: "response_format.json_schema.schema",
  },
  { path: "/v1/chat/completions", body: { messages, tools: "x" }, param: "tools" },
  { path: "/v1/chat/completions", body: { messages, tools: [{}] }, param: "tools[0].type" },
  {
    path: "/v1/chat/completions",
    body: { messages, tool_choice: "required" },
    param: "tool_choice",
  },
  { path: "/v1/chat/completions", body: { messages, tool_choice: "maybe" }, param: "tool_choice" },
  {
    path: "/v1/chat/completions",
    body: { messages, tool_choice: { type: "function", function: { name: "f" } } },
    param: "tool_choice.function.name",
  },
  {
    path: "/v1/chat/completions",
    body: { messages, continue_final_message: true, add_generation_prompt: true },
    param: "continue_final_message",
  },
  { path: "/tokenize", body: { content: 5 }, param: "content" },
  { path: "/tokenize", body: { content: "a", prompt: "b" }, param: "content" },
  { path: "/tokenize", body: { content: "a", add_special: "x" }, param: "add_special" },
  { path: "/detokenize", body: {}, param: "tokens" },
  { path: "/detokenize", body: { tokens: "1 2" }, param: "tokens" },
  { path: "/detokenize", body: { tokens: [1, "2"] }, param: "tokens[1]" },
  { path: "/detokenize", body: { tokens: [4096] }, param: "tokens[0]" },
  { path: "/detokenize", body: { tokens: [-1] }, param: "tokens[0]" },
  { path: "/apply-template", body: {}, param: "messages" },
  { path: "/v1/responses", body: {}, param: "input" },
  { path: "/v1/responses", body: { input: 5 }, param: "input" },
  { path: "/v1/responses", body: { input: [] }, param: "input" },
  { path: "/v1/responses", body: { input: [{ type: "file" }] }, param: "input[0].type" },
  { path: "/v1/responses", body: { input: [{ content: "x" }] }, param: "input[0].role" },
  {
    path: "/v1/responses",
    body: { input: "x", previous_response_id: "resp_1" },
    param: "previous_response_id",
  },
  { path: "/v1/responses", body: { input: "x", max_output_tokens: 0 }, param: "max_output_tokens" },
  { path: "/generate", body: {}, param: "text" },
  { path: "/generate", body: { text: "x", input_ids: [1] }, param: "text" },
  { path: "/generate", body: { input_ids: [9999] }, param: "input_ids[0]" },
  { path: "/generate", body: { text: "x", sampling_params: 5 }, param: "sampling_params" },
  {
    path: "/generate",
    body: { text: "x", sampling_params: { temperature: "x" } },
    param: "temperature",
  },
  {
    path: "/generate",
    body: { text: ["a", "b"], sampling_params: [{}] },
    param: "sampling_params",
  },
  { path: "/completion", body: { prompt: Array(200).fill("a"), n: 100 }, param: "n" },
  { path: "/v1/completions", body: { prompt: Array(200).fill("a"), n: 100 }, param: "n" },
  {
    path: "/completion",
    body: `{"prompt":${"[".repeat(90000)}1${"]".repeat(90000)}}`,
    param: null,
  },
  {
    path: "/v1/chat/completions",
    body: `{"messages":[],"json_schema":${'{"a":'.repeat(50000)}1${"}".repeat(50000)}}`,
    param: null,
  },
  { path: "/v1/embeddings", body: {}, param: "input" },
  { path: "/v1/embeddings", body: { input: 5 }, param: "input" },
  { path: "/v1/embeddings", body: { input: [[]] }, param: "input[0]" },
  { path: "/v1/embeddings", body: { input: [99999] }, param: "input[0]" },
  { path: "/v1/embeddings", body: { input: ["a", [1, 1.5]] }, param: "input[1][1]" },
  { path: "/v1/embeddings", body: { input: "a", dimensions: 0 }, param: "dimensions" },
  { path: "/v1/embeddings", body: { input: "a", dimensions: 1e6 }, param: "dimensions" },
  {
    path: "/v1/embeddings",
    body: { input: "a", encoding_format: "int8" },
    param: "encoding_format",
  },
  { path: "/v1/embeddings", body: { input: "a", pooling: "rank" }, param: "pooling" },
  { path: "/v1/embeddings", body: { input: Array(2049).fill("a") }, param: "input" },
  { path: "/v1/embeddings", body: { input: "word ".repeat(900) }, param: "input" },
  { path: "/embedding", body: {}, param: "input" },
  { path: "/embedding", body: { content: {} }, param: "content" },
  { path: "/embedding", body: { content: "a", embd_normalize: -2 }, param: "embd_normalize" },
  { path: "/infill", body: {}, param: "input_prefix" },
  { path: "/infill", body: { input_prefix: "a" }, param: "input_suffix" },
  { path: "/v1/completions", body: { prompt, sse_ping_interval: "x" }, param: "sse_ping_interval" },
  { path: "/v1/nothing", body: {}, param: null, status: 404 },
  { path: "/health", body: {}, param: null, status: 405 },
];

export const badRequests: readonly BadRequest[] = [...shared, ...bodies, ...completion, ...single];
