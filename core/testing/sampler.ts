// Conformance suite for Sampler plugins.
import { Value } from "@sinclair/typebox/value";
import { WrinkleFreeError } from "../errors.ts";
import type { Candidates, Sampler, SamplerContext, SamplerLink } from "../plugin/sampler.ts";
import { argmax, sortCandidates } from "../sampling/candidates.ts";
import { optionsOf } from "../sampling/options.ts";
import { Random } from "../sampling/random.ts";

const vocabulary = 50;

type Fail = (what: string) => never;
type Create = () => SamplerLink | undefined;

/**
 * Checks that a sampler keeps its interface, with its default options and with each of
 * `optionSets`: a default and a description for each option, no token invented or doubled, no NaN,
 * an honest `sorted`, the same result for the same seed, and what `keeps`, `monotone` and `lowers`
 * promise. Throws `plugin` naming the first violation.
 */
export function testSampler(
  sampler: Sampler,
  optionSets: readonly Readonly<Record<string, unknown>>[] = [],
): void {
  const fail: Fail = (what) => {
    throw new WrinkleFreeError("plugin", `sampler "${sampler.name}": ${what}`);
  };
  if (!/^[a-z][a-z0-9_]*$/.test(sampler.name)) fail("the name is not lower-case with underscores");
  if (sampler.letter !== undefined && sampler.letter.length !== 1)
    fail("`letter` is not one letter");
  for (const [name, schema] of Object.entries(sampler.options.properties)) {
    if (!/^[a-z][a-z0-9_]*$/.test(name)) fail(`option "${name}" is not lower-case`);
    if (schema.default === undefined) fail(`option "${name}" has no default`);
    if (!Value.Check(schema, schema.default)) fail(`the default of "${name}" breaks its schema`);
    if (!schema.description) fail(`option "${name}" has no description`);
  }
  for (const options of [{}, ...optionSets]) {
    const wrong: Fail = (what) => fail(`${what} (options ${JSON.stringify(options)})`);
    const create: Create = () => sampler.create(optionsOf(sampler, options), context());
    for (const logits of cases()) checkOnce(create, logits, wrong);
  }
}

function context(): SamplerContext {
  const tokens = [1, 2, 3, 1, 2, 3, 1, 2];
  return {
    vocabularySize: vocabulary,
    seed: 7,
    tokens,
    promptLength: 4,
    endTokens: new Set([49]),
    tokenize: (text) => [...text].map((c) => c.charCodeAt(0) % vocabulary),
    piece: (token) => String.fromCharCode(65 + token),
  };
}

function cases(): Float32Array[] {
  const random = new Random(1);
  const make = (value: (i: number) => number) =>
    Float32Array.from({ length: vocabulary }, (_, i) => value(i));
  return [
    make(() => 0),
    make((i) => -i),
    make((i) => i),
    make((i) => (i % 3 === 0 ? -Infinity : i % 7)),
    make((i) => (i === 20 ? 100 : 0)),
    ...Array.from({ length: 10 }, () => make(() => (random.double() - 0.5) * 12)),
  ];
}

function checkOnce(create: Create, logits: Float32Array, fail: Fail): void {
  const link = ready(create);
  if (link === undefined) return;
  const { keeps, monotone, lowers } = link;
  const before = candidates(logits);
  const after = candidates(logits);
  link.apply(after);
  checkShape(after, fail);
  const again = candidates(logits);
  ready(create)!.apply(again);
  if (!equal(rows(after), rows(again)) || after.selected !== again.selected) {
    fail("the same seed gives another result");
  }
  if (monotone && after.ids[argmax(after)] !== before.ids[argmax(before)]) {
    fail("`monotone`, but another token is the best");
  }
  if (lowers !== undefined) checkLowers(before, after, lowers, fail);
  if (keeps === undefined) return;
  const few = candidates(logits);
  sortCandidates(few);
  few.length = Number.isFinite(keeps) ? Math.min(keeps, vocabulary) : 30;
  const ids = new Set(few.ids.subarray(0, few.length));
  ready(create)!.apply(few);
  const expected = rows(after).filter(([id]) => Number.isFinite(keeps) || ids.has(id!));
  if (!equal(expected, rows(few))) {
    fail("`keeps`, but the largest logits alone give another result");
  }
}

function ready(create: Create): SamplerLink | undefined {
  const link = create();
  for (const token of context().tokens) link?.accept?.(token);
  return link;
}

function candidates(logits: Float32Array): Candidates {
  const ids = Int32Array.from(logits.keys());
  return { ids, logits: logits.slice(), length: logits.length, sorted: false, selected: -1 };
}

/** [id, logit] of the candidates, by id. */
function rows({ ids, logits, length }: Candidates): number[][] {
  const all = Array.from({ length }, (_, i) => [ids[i]!, logits[i]!]);
  return all.sort((a, b) => a[0]! - b[0]!);
}

function equal(a: number[][], b: number[][]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function checkShape(after: Candidates, fail: Fail): void {
  const { ids, logits, length, sorted, selected } = after;
  if (!(length >= 1 && length <= vocabulary)) fail(`it leaves ${length} candidates`);
  const seen = new Set(ids.subarray(0, length));
  if (seen.size !== length) fail("it doubles a token");
  for (const id of seen) if (id < 0 || id >= vocabulary) fail(`it invents token ${id}`);
  for (let i = 0; i < length; i++) {
    if (Number.isNaN(logits[i])) fail("a logit is NaN");
    if (sorted && i > 0 && logits[i]! > logits[i - 1]!) fail("`sorted`, but it is not");
  }
  if (!(Number.isInteger(selected) && selected < length)) fail("`selected` is no candidate");
}

function checkLowers(before: Candidates, after: Candidates, most: number, fail: Fail): void {
  const old = new Map(rows(before).map(([id, logit]) => [id, logit]));
  let changed = before.length - after.length;
  for (const [id, logit] of rows(after)) {
    if (logit! > old.get(id)!) fail("`lowers`, but it raises a logit");
    if (logit! < old.get(id)!) changed++;
  }
  if (changed > most) fail(`\`lowers\` at most ${most} logits, but ${changed} changed`);
}
