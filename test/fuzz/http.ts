// Fuzzes HTTP bodies: the real app with the real engine; every answer is JSON of its dialect.
import { createApp } from "../../apps/server/app.ts";
import { allRoutes } from "../../apps/server/routes.ts";
import type { RunningServer } from "../../apps/server/serve.ts";
import { testServer } from "../server/support.ts";
import { type Chance, damageJson, damageText } from "./chance.ts";
import { type Fuzzer, type Input, type Verdict, wrong } from "./fuzzer.ts";

const prompt = "Once upon a time";
const messages = [{ role: "user", content: "Hi" }];
const tools = [{ type: "function", function: { name: "f", parameters: { type: "object" } } }];
const few = { max_tokens: 1, n_predict: 1 };
const bodies: readonly (readonly [path: string, body: object])[] = [
  ["/completion", { prompt, ...few, temperature: 0.5, top_k: 5, seed: 1, stop: ["x"] }],
  ["/completion", { prompt: [1, "a"], ...few, logit_bias: [[5, -1]], grammar: 'root ::= "a"' }],
  ["/completion", { prompt, ...few, json_schema: { type: "integer" }, samplers: ["top_k"] }],
  ["/v1/completions", { prompt, ...few, n: 1, echo: true, logprobs: 1, stream: false }],
  ["/v1/chat/completions", { messages, ...few, tools, tool_choice: "auto" }],
  ["/v1/chat/completions", { messages, ...few, response_format: { type: "json_object" } }],
  ["/v1/chat/completions", { messages, ...few, logprobs: true, top_logprobs: 2, stream: true }],
  ["/v1/responses", { input: "Hi", max_output_tokens: 1, instructions: "x" }],
  ["/v1/messages", { messages, max_tokens: 1, system: "x", stop_sequences: ["a"] }],
  ["/api/chat", { messages, stream: false, options: { num_predict: 1, temperature: 1 } }],
  ["/api/generate", { prompt, stream: false, options: { num_predict: 1 }, format: "json" }],
  ["/generate", { text: prompt, sampling_params: { max_new_tokens: 1, regex: "a+" } }],
  ["/tokenize", { content: prompt, with_pieces: true }],
  ["/detokenize", { tokens: [1, 2, 3] }],
  ["/apply-template", { messages }],
  ["/v1/messages/count_tokens", { messages }],
  ["/slots/0", { filename: "a" }],
  ["/lora-adapters", {}],
  ["/abort_request", { rid: "x" }],
];
const words = [
  ...new Set(bodies.flatMap(([, body]) => Object.keys(body))),
  ...["guided_regex", "guided_json", "guided_choice", "structured_outputs", "json_schema", "role"],
  ...["content", "type", "text", "function", "arguments", "tool_calls", "tool_call_id", "name"],
  ...["mirostat", "dry_multiplier", "min_p", "n_probs", "cache_prompt", "id_slot", "model", "n"],
  ...["__proto__", "constructor", "assistant", "tool", "system", "\u0000", "\r\nx: y", "../../x"],
];

/** Path, a line end, the body: one text that the corpus can keep. */
function make(chance: Chance): string {
  const [path, good] = chance.pick(bodies);
  const body = damageJson(structuredClone(good), words, chance);
  const text = JSON.stringify(body) ?? "";
  if (chance.one(40)) return `${path}\n${"[".repeat(chance.int(70_000))}`;
  return `${path}\n${chance.one(5) ? damageText(text, ["{", "}", '"', "\\u0000", "1e999"], chance) : text}`;
}

/** The app, made when the first case comes. */
class Subject {
  #server: Promise<RunningServer> | undefined;
  #app: ReturnType<typeof createApp> | undefined;

  async answer(path: string, body: string): Promise<Response> {
    this.#server ??= testServer({ limits: { bodyBytes: 200_000 }, timeoutMs: 2000 });
    const { state } = await this.#server;
    this.#app ??= createApp(state, allRoutes(state.samplers));
    const headers = { host: "localhost" };
    return this.#app.fetch(
      new Request(`http://localhost${path}`, { method: "POST", body, headers }),
    );
  }

  async close(): Promise<void> {
    const server = await this.#server;
    if (!server) return;
    const { client } = server.state.slots[0]!.model;
    const start = Date.now();
    for (let stats = await client.stats(); stats.running + stats.queued > 0; ) {
      if (Date.now() - start > 20_000) wrong(`${stats.running} requests still run at the end`);
      await Bun.sleep(20);
      stats = await client.stats();
    }
    const { pagesFree, pagesCached, pagesTotal } = await client.stats();
    if (pagesFree + pagesCached !== pagesTotal) wrong("pages are lost at the end");
    await server.stop();
  }
}

const subject = new Subject();

async function check(input: Input): Promise<Verdict> {
  const text = input as string;
  const end = text.indexOf("\n");
  const reply = await subject.answer(text.slice(0, end), text.slice(end + 1));
  const answer = await reply.text();
  const { status } = reply;
  if (status === 500) wrong(`500: ${answer.slice(0, 200)}`);
  if (/\n\s+at |node_modules|\.ts:\d+|\/work\/|\/home\//.test(answer)) wrong(`a stack: ${answer}`);
  if (status === 200) return "accepted";
  const json = JSON.parse(answer);
  const message = json.error?.message ?? json.error;
  if (typeof message !== "string" || message.length < 10) wrong(`no clear error: ${answer}`);
  if (message.length > 2000) wrong(`an error of ${message.length} characters`);
  if (status < 400 || ![400, 404, 413, 415, 429, 501, 503].includes(status)) wrong(`${status}`);
  return "refused";
}

export const httpFuzzer: Fuzzer = {
  ...{ name: "HTTP bodies", share: 3, extension: "http", make, check },
  close: () => subject.close(),
};
