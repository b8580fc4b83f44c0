// Operations on the candidates of a draw: sorting, keeping the best, softmax.
import type { Candidates } from "../plugin/sampler.ts";
import { exp } from "./math.ts";

/** Ids must be below this: a sort key holds an id and a logit in 53 bits. */
export const maximumVocabulary = 2 ** 21;

// Shared by all chains of a thread: every function below is done with it when it returns, save
// softmax, whose result is good until the next call.
let keys = new Float64Array(0);
let probabilities = new Float64Array(0);
let sorted = keys;

function reserve(length: number): void {
  if (keys.length < length) keys = new Float64Array(length);
}

const float = new Float32Array(1);
const bits = new Int32Array(float.buffer);

/** A number that is smaller for a larger logit, then for a smaller id. Exact in a double. */
function keyOf(logit: number, id: number): number {
  float[0] = logit + 0; // -0 becomes 0
  const b = bits[0]!;
  const descending = b >= 0 ? 0x7fffffff - b : b >>> 0;
  return descending * maximumVocabulary + id;
}

function unpack(candidates: Candidates, length: number, from: Float64Array): void {
  const { ids, logits } = candidates;
  for (let i = 0; i < length; i++) {
    const key = from[i]!;
    const descending = Math.floor(key / maximumVocabulary);
    ids[i] = key - descending * maximumVocabulary;
    bits[0] = descending <= 0x7fffffff ? 0x7fffffff - descending : descending | 0;
    logits[i] = float[0]!;
  }
  candidates.length = length;
  candidates.sorted = true;
}

/**
 * Where a token stands among the candidates; -1 where it is none. What lies past `length` in `ids` is
 * left over from before and not looked at.
 */
export function indexOfToken({ ids, length }: Candidates, token: number): number {
  // Where the whole vocabulary is left, a token stands at its own index.
  const at = token < length && ids[token] === token ? token : ids.indexOf(token);
  return at < length ? at : -1;
}

/** Sorts by descending logit, ties by ascending id. */
export function sortCandidates(candidates: Candidates): void {
  keepLargest(candidates, candidates.length);
}

/** Keeps the k largest logits, sorted in descending order (ties: the lower id is the larger). */
export function keepLargest(candidates: Candidates, k: number): void {
  const { ids, logits, length } = candidates;
  if (candidates.sorted) {
    candidates.length = Math.min(k, length);
    return;
  }
  reserve(length);
  if (k * 8 >= length) {
    for (let i = 0; i < length; i++) keys[i] = keyOf(logits[i]!, ids[i]!);
    sortKeys(length);
    unpack(candidates, Math.min(k, length), sorted);
    return;
  }
  select(candidates, k);
  sortKeys(k);
  unpack(candidates, k, sorted);
}

/** Sorts keys[0..length) in place; the view is kept, as k seldom changes. */
function sortKeys(length: number): void {
  if (sorted.buffer !== keys.buffer || sorted.length !== length) sorted = keys.subarray(0, length);
  sorted.sort();
}

/** Puts the keys of the k largest into keys[0..k): a heap with the worst on top. */
function select(candidates: Candidates, k: number): void {
  const { ids, logits, length } = candidates;
  for (let i = 0; i < k; i++) keys[i] = keyOf(logits[i]!, ids[i]!);
  for (let i = (k >> 1) - 1; i >= 0; i--) siftDown(i, k);
  let worst = logitOf(keys[0]!);
  for (let i = k; i < length; i++) {
    const logit = logits[i]!;
    if (logit < worst) continue;
    const key = keyOf(logit, ids[i]!);
    if (key >= keys[0]!) continue;
    keys[0] = key;
    siftDown(0, k);
    worst = logitOf(keys[0]!);
  }
}

function logitOf(key: number): number {
  const descending = Math.floor(key / maximumVocabulary);
  bits[0] = descending <= 0x7fffffff ? 0x7fffffff - descending : descending | 0;
  return float[0]!;
}

function siftDown(start: number, length: number): void {
  const heap = keys;
  const key = heap[start]!;
  let at = start;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= length) break;
    if (child + 1 < length && heap[child + 1]! > heap[child]!) child++;
    if (heap[child]! <= key) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = key;
}

/** Index of the largest logit, ties to the lowest id; 0 when there is one candidate. */
export function argmax(candidates: Candidates): number {
  const { ids, logits, length, sorted } = candidates;
  let best = 0;
  if (sorted) return best;
  for (let i = 1; i < length; i++) {
    const logit = logits[i]!;
    if (logit > logits[best]! || (logit === logits[best]! && ids[i]! < ids[best]!)) best = i;
  }
  return best;
}

/**
 * p_i = exp(l_i - max) / sum over the candidates, in float64, in their order. The array is shared:
 * good until the next call. Where no logit is finite, the largest ones share the mass alike.
 */
export function softmax(candidates: Candidates): Float64Array {
  const { logits, length } = candidates;
  if (probabilities.length < length) probabilities = new Float64Array(length);
  const p = probabilities;
  const max = logits[argmax(candidates)]!;
  let sum = 0;
  for (let i = 0; i < length; i++) {
    const weight = logits[i] === max ? 1 : exp(logits[i]! - max);
    p[i] = weight;
    sum += weight;
  }
  for (let i = 0; i < length; i++) p[i]! /= sum;
  return p;
}

/** Keeps the candidates at which `keep` holds, in their order; the rest is dropped. */
export function retain(candidates: Candidates, keep: (index: number) => boolean): void {
  const { ids, logits, length } = candidates;
  let kept = 0;
  for (let i = 0; i < length; i++) {
    if (!keep(i)) continue;
    ids[kept] = ids[i]!;
    logits[kept++] = logits[i]!;
  }
  candidates.length = kept;
}
