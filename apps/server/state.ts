// What all routes share: the models, the limits, the log, and one request in progress.
import type { Pooling, Sampler } from "../../core/index.ts";
import type { Activity } from "./activity.ts";
import type { Connections } from "./connections.ts";
import { badField, HttpError } from "./errors.ts";
import type { TokenNames } from "./legacy-logprobs.ts";
import type { Logger } from "./log.ts";
import type { MetricAlias } from "./metrics-alias.ts";
import type { ModelSlot, ServedModel } from "./model.ts";
import type { Observer } from "./observe.ts";
import type { Framing } from "./stream.ts";

export interface Limits {
  /** Bytes of a request body. */
  readonly bodyBytes: number;
  /** Milliseconds from a request's headers to the end of its body. */
  readonly bodyMs: number;
  /** Bytes of all bodies that are arriving at the same time. */
  readonly arrivingBytes: number;
  /** Seconds of a client's silence, when it is its turn, before its connection is closed; 1 to 255. */
  readonly idleSeconds: number;
  /** Sequences of one request: its prompts times `n`. */
  readonly sequences: number;
  /** Alternatives with each token. */
  readonly logprobs: number;
  readonly stopStrings: number;
}

export const defaultLimits: Limits = {
  bodyBytes: 16 * 1024 * 1024,
  bodyMs: 60_000,
  arrivingBytes: 256 * 1024 * 1024,
  idleSeconds: 120,
  sequences: 1024,
  logprobs: 100,
  stopStrings: 64,
};

/** Settings of the running server that routes look at. */
export interface ServerSettings {
  readonly apiKeys: readonly string[];
  /** Origins that browsers may call from; "*" is any. Empty: no CORS headers. */
  readonly corsOrigins: readonly string[];
  /** Host names that it answers to besides loopback ones and the one it listens on. */
  readonly allowedHosts: readonly string[];
  readonly host: string;
  /** Sequences that run at the same time. */
  readonly parallel: number;
  /** Whether the chat page is served at /. */
  readonly page: boolean;
  /** Shown with the models: what they are for. */
  readonly tags: readonly string[];
  readonly metrics: boolean;
  /** Other engines under whose names the metrics are repeated. */
  readonly metricAliases: readonly MetricAlias[];
  /** Whether cached prefixes are used and kept where the request does not say. */
  readonly cachePrompt: boolean;
  readonly slots: boolean;
  /** Folder of saved slots; undefined: slots are not saved. */
  readonly slotSavePath?: string;
  readonly strictModelNames: boolean;
  /** How embeddings pool; undefined: the model file's own, or the mean. */
  readonly pooling?: Pooling;
  /** Callers with different API keys share no cached prefixes: how fast one comes tells of it. */
  readonly isolateCache: boolean;
  /** Tokens of an answer at most, whatever the request says; undefined: until the context is full. */
  readonly maxTokens?: number;
  /** Seed of requests that name none; undefined: another one each time. */
  readonly defaultSeed?: number;
  /** Milliseconds that a request may take. */
  readonly timeoutMs?: number;
  readonly pingMs: number;
  /** How the legacy logprobs name tokens. */
  readonly logprobTokens: TokenNames;
  readonly limits: Limits;
  /** Sampling options that replace the samplers' own defaults. */
  readonly sampling: Readonly<Record<string, unknown>>;
}

export interface ServerState {
  readonly settings: ServerSettings;
  /** Who asks, where callers do not share cached prefixes; set for one request. */
  readonly tenant?: string;
  readonly samplers: readonly Sampler[];
  readonly slots: readonly ModelSlot[];
  readonly log: Logger;
  readonly observer: Observer;
  readonly activity: Activity;
  readonly connections: Connections;
  /** Unix milliseconds. */
  readonly started: number;
}

/** One request in progress. */
export interface Call<Body = Record<string, unknown>> {
  readonly server: ServerState;
  readonly request: Request;
  readonly body: Body;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Also the X-Request-Id header of the answer. */
  readonly id: string;
  /** Aborted when the client leaves. */
  readonly abort: AbortController;
  /** Answers with a stream of framed text; the log line is written at its end. */
  stream(items: AsyncIterableIterator<string>, framing?: Framing): Promise<Response>;
  /** Adds fields to the request's log line. */
  note(fields: Readonly<Record<string, unknown>>): void;
}

/** The model that a request names, or the first. Throws 503 while it loads, 404 for an unknown name. */
export function findModel(server: ServerState, name?: string): ServedModel {
  const { slots, settings } = server;
  const named = slots.find((slot) =>
    slot.ready ? slot.model.aliases.includes(name ?? "") : slot.id === name,
  );
  if (named) return named.model;
  const [first] = slots;
  if (!first) throw new HttpError("unavailable_error", "No model is loaded.");
  // One model answers to any name, as llama-server does: clients send "default", "gpt-4" and the like.
  const any = slots.length === 1 && !settings.strictModelNames;
  if (any || name === undefined || name === "" || name === "default") return first.model;
  const known = slots.map((slot) => slot.id).join(", ");
  throw new HttpError("not_found_error", `The model '${name}' does not exist; there is ${known}.`, {
    param: "model",
    extra: { model: name },
  });
}

/** Checks how many sequences a request starts: its prompts times its choices. */
export function checkSequences(server: ServerState, prompts: number, choices: number): void {
  const { sequences } = server.settings.limits;
  if (prompts * choices <= sequences) return;
  const message = `${prompts} prompts of ${choices} answers are more than ${sequences} sequences.`;
  throw badField("n", message);
}

/** Checks a list's length against a limit. */
export function checkCount(param: string, length: number, limit: number): void {
  if (length > limit) {
    throw badField(param, `Field '${param}' has ${length} entries; the limit is ${limit}.`);
  }
}
