// The server under test, llama.cpp-like or OpenAI-like: completions, counters, context size.
import { WrinkleFreeError } from "../../core/index.ts";

export interface TargetOptions {
  readonly url: string;
  readonly apiKey?: string;
  readonly model?: string;
  /** Milliseconds that one request may take. */
  readonly timeoutMs: number;
}

export interface Completion {
  readonly status: number;
  readonly text: string;
  readonly promptTokens: number | undefined;
  readonly cachedTokens: number | undefined;
  readonly ms: number;
  /** The error's text for a status other than 200. */
  readonly error?: string;
}

export interface CompletionOptions {
  readonly maxTokens: number;
  /** Fields beyond OpenAI's, e.g. cache_prompt; a strict server may refuse them. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** What the server says about its load; undefined where it does not say. */
export interface Load {
  readonly busy: number | undefined;
  /** Used part of the KV cache, 0..1, without what is only kept for reuse. */
  readonly kvUsage: number | undefined;
}

type Json = Record<string, unknown>;

const busyNames = [
  "llamacpp:requests_processing",
  "llamacpp:requests_deferred",
  "vllm:num_requests_running",
  "vllm:num_requests_waiting",
  "sglang:num_running_reqs",
  "sglang:num_queue_reqs",
];
const usageNames = ["wrinklefree_kv_usage_ratio", "vllm:kv_cache_usage_perc", "sglang:token_usage"];

/** Values of the Prometheus samples of these names, whatever their labels. */
function samples(text: string, names: readonly string[]): number[] {
  const pattern = new RegExp(`^(?:${names.join("|")})(?:\\{.*\\})? ([\\d.e+-]+)$`, "gm");
  return [...text.matchAll(pattern)].map((match) => Number(match[1]));
}

export class Target {
  readonly #options: TargetOptions;
  #model: string | undefined;
  #listed: Json = {};

  constructor(options: TargetOptions) {
    this.#options = { ...options, url: options.url.replace(/\/+$/, "").replace(/\/v1$/, "") };
    this.#model = options.model;
  }

  get url(): string {
    return this.#options.url;
  }

  get model(): string | undefined {
    return this.#model;
  }

  /** Asks for the models. Throws `unavailable` where nothing answers, `usage` for a refused key. */
  async connect(): Promise<void> {
    const { status, json } = await this.#get("/v1/models").catch((cause: unknown) => {
      throw new WrinkleFreeError("unavailable", `${this.url} does not answer`, {
        flag: "--url",
        hint: "start the server, or correct the address",
        cause,
      });
    });
    if (status === 401 || status === 403) {
      throw new WrinkleFreeError("usage", `${this.url} refuses the key (status ${status})`, {
        flag: "--api-key",
      });
    }
    const models = (json?.data ?? []) as Json[];
    this.#listed = models.find((model) => model.id === this.#model) ?? models[0] ?? {};
    this.#model ??= typeof this.#listed.id === "string" ? this.#listed.id : undefined;
  }

  /** Tokens of context for one request, where the server tells. */
  async contextLength(): Promise<number | undefined> {
    const meta = this.#listed.meta as Json | undefined;
    const { json } = await this.#get("/props").catch(() => ({ json: undefined }));
    const settings = json?.default_generation_settings as Json | undefined;
    const stated = [settings?.n_ctx, this.#listed.max_model_len, meta?.n_ctx];
    return stated.find((value) => typeof value === "number" && value > 0) as number | undefined;
  }

  /** Completes a prompt greedily. Never throws: a failure has status 0. */
  async complete(prompt: string, { maxTokens, extra }: CompletionOptions): Promise<Completion> {
    const started = performance.now();
    const failed = { text: "", promptTokens: undefined, cachedTokens: undefined };
    try {
      const response = await this.#post(prompt, maxTokens, { ...extra });
      const body = await response.text();
      const ms = performance.now() - started;
      if (response.status !== 200) return { ...failed, status: response.status, ms, error: body };
      const json = JSON.parse(body) as Json;
      const choice = ((json.choices as Json[]) ?? [])[0] ?? {};
      const usage = (json.usage ?? {}) as Json;
      const details = (usage.prompt_tokens_details ?? {}) as Json;
      const timings = (json.timings ?? {}) as Json;
      const number = (value: unknown) => (typeof value === "number" ? value : undefined);
      return {
        status: 200,
        text: String(choice.text ?? ""),
        promptTokens: number(usage.prompt_tokens),
        cachedTokens: number(details.cached_tokens) ?? number(timings.cache_n),
        ms,
      };
    } catch (error) {
      const ms = performance.now() - started;
      return { ...failed, status: 0, ms, error: error instanceof Error ? error.message : "" };
    }
  }

  /** Starts a long answer, reads its first bytes and hangs up. */
  async abandon(prompt: string, maxTokens: number): Promise<boolean> {
    const hangUp = new AbortController();
    try {
      const extra = { stream: true, ignore_eos: true };
      const response = await this.#post(prompt, maxTokens, extra, hangUp.signal);
      const first = await response.body?.getReader().read();
      return response.status === 200 && first?.done === false;
    } catch {
      return false;
    } finally {
      hangUp.abort();
    }
  }

  async load(): Promise<Load> {
    const { text } = await this.#get("/metrics").catch(() => ({ text: "" }));
    const counts = samples(text, busyNames);
    const kvUsage = samples(text, usageNames)[0];
    if (counts.length > 0) return { busy: counts.reduce((a, b) => a + b, 0), kvUsage };
    const { json } = await this.#get("/slots").catch(() => ({ json: undefined }));
    if (!Array.isArray(json)) return { busy: undefined, kvUsage };
    return { busy: json.filter((slot: Json) => slot.is_processing === true).length, kvUsage };
  }

  #post(prompt: string, maxTokens: number, extra: Json, signal?: AbortSignal): Promise<Response> {
    const timeout = AbortSignal.timeout(this.#options.timeoutMs);
    const common = { model: this.#model, prompt, max_tokens: maxTokens, temperature: 0, seed: 1 };
    return fetch(`${this.url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", ...this.#headers() },
      body: JSON.stringify({ ...common, ...extra }),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
  }

  async #get(path: string): Promise<{ status: number; text: string; json: Json | undefined }> {
    const signal = AbortSignal.timeout(10_000);
    const response = await fetch(this.url + path, { headers: this.#headers(), signal });
    const text = await response.text();
    let json: Json | undefined;
    try {
      json = response.ok ? (JSON.parse(text) as Json) : undefined;
    } catch {}
    return { status: response.status, text: response.ok ? text : "", json };
  }

  #headers(): Record<string, string> {
    const { apiKey } = this.#options;
    return apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
  }
}
