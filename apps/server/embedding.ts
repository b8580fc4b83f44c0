// Embeddings of texts: prompts to pooled hidden states, cut and scaled as the dialects ask.
import type { Pooling } from "../../core/index.ts";
import { badField, contextExceeded } from "./errors.ts";
import type { ServedModel } from "./model.ts";
import { readPrompts } from "./prompts.ts";
import type { ServerState } from "./state.ts";

export const poolings: readonly Pooling[] = ["none", "mean", "cls", "last"];

/** llama.cpp's number of the Euclidean norm. */
export const euclidean = 2;

/** The pooling of a request, else the server's, else the model file's own, else the mean. */
export function readPooling(
  server: ServerState,
  model: ServedModel,
  asked: Pooling | undefined,
): Pooling {
  const own = model.client.info.pooling;
  return asked ?? server.settings.pooling ?? (own === "none" ? undefined : own) ?? "mean";
}

/** Inputs that one request may hold. */
const maxInputs = 2048;

/** The token ids of every input. Throws 400 naming the field. */
export async function readInputs(
  model: ServedModel,
  value: unknown,
  options: { param: string; addSpecial?: boolean },
): Promise<number[][]> {
  const { prompts: inputs } = await readPrompts(model, value, { ...options, limit: maxInputs });
  const size = model.client.info.contextLength;
  for (const { length } of inputs) {
    if (length <= size) continue;
    throw contextExceeded(options.param, length, size, { note: ": the input is too large" });
  }
  return inputs;
}

export interface EmbedOptions {
  readonly pooling: Pooling;
  readonly cacheSalt?: string;
  readonly signal: AbortSignal;
}

/** Inputs of one request that are in the engine at the same time. */
const concurrent = 16;

/** For each input its vectors float32 [hidden]: one, or with pooling "none" one for each token. */
export async function embedAll(
  model: ServedModel,
  inputs: readonly (readonly number[])[],
  { pooling, cacheSalt, signal }: EmbedOptions,
): Promise<Float32Array[][]> {
  const results: Float32Array[][] = [];
  const abort = new AbortController();
  const both = AbortSignal.any([signal, abort.signal]);
  let next = 0;
  const run = async (): Promise<void> => {
    for (let i = next++; i < inputs.length; i = next++) {
      results[i] = await model.client.embed(inputs[i] ?? [], { pooling, cacheSalt, signal: both });
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(concurrent, inputs.length) }, run));
  } finally {
    // The first failure ends the others.
    abort.abort();
  }
  return results;
}

/** The first `dimensions` of a vector. Throws 400 when it has fewer. */
export function cut(vector: Float32Array, dimensions: number | undefined): Float32Array {
  if (dimensions === undefined) return vector;
  if (dimensions > vector.length) {
    throw badField(
      "dimensions",
      `Field 'dimensions' must be an integer from 1 to ${vector.length}, not ${dimensions}.`,
    );
  }
  return vector.subarray(0, dimensions);
}

/**
 * The vector over its norm: 2 Euclidean, 1 sum of magnitudes, p > 2 the p-norm, 0 so that the
 * largest magnitude is 32,760; below 0 as it is. A zero vector stays one.
 */
export function normalize(vector: Float32Array, norm: number): Float32Array {
  if (norm < 0) return vector;
  const divisor = vectorNorm(vector, norm);
  return divisor > 0 ? Float32Array.from(vector, (value) => value / divisor) : vector;
}

function vectorNorm(vector: Float32Array, norm: number): number {
  if (norm === 0) return vector.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 32760;
  const sum = vector.reduce((sum, value) => sum + Math.abs(value) ** norm, 0);
  return sum ** (1 / norm);
}

/** The vector's float32 values, little-endian, in base64: OpenAI's encoding_format "base64". */
export function base64(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [i, value] of vector.entries()) bytes.writeFloatLE(value, i * 4);
  return bytes.toString("base64");
}
