// Candidates from plain numbers, chains over the built-in samplers, random logits.
import {
  type Candidates,
  createSamplerChain,
  Random,
  type SamplerChain,
  type SamplerLink,
} from "../../core/index.ts";
import plugin from "../../plugins/samplers/index.ts";

export const samplers = plugin.samplers!;

/** Candidates over ids 0.. with these logits. */
export function candidatesOf(logits: readonly number[]): Candidates {
  return {
    ids: Int32Array.from(logits.keys()),
    logits: Float32Array.from(logits),
    length: logits.length,
    sorted: false,
    selected: -1,
  };
}

/** Options that leave every sampler without effect. */
export const neutral = {
  temperature: 1,
  top_k: 0,
  top_p: 1,
  min_p: 0,
  repeat_penalty: 1,
} as const;

export interface Setting {
  readonly tokens?: readonly number[];
  readonly seed?: number;
  readonly vocabularySize?: number;
  readonly endTokens?: readonly number[];
  readonly tokenize?: (text: string) => number[];
  readonly piece?: (token: number) => string;
}

export function chain(options: Record<string, unknown>, setting: Setting = {}): SamplerChain {
  return createSamplerChain(samplers, options, {
    vocabularySize: setting.vocabularySize ?? 1000,
    seed: setting.seed ?? 1,
    tokens: setting.tokens ?? [],
    endTokens: new Set(setting.endTokens ?? []),
    tokenize: setting.tokenize,
    piece: setting.piece,
  });
}

/** The link that one sampler makes of options; the prompt is accepted. */
export function link(
  name: string,
  options: Record<string, unknown>,
  setting: Setting = {},
): SamplerLink {
  const sampler = samplers.find((s) => s.name === name)!;
  const tokens = setting.tokens ?? [];
  const made = sampler.create(options, {
    vocabularySize: setting.vocabularySize ?? 1000,
    seed: setting.seed ?? 1,
    tokens,
    promptLength: tokens.length,
    endTokens: new Set(setting.endTokens ?? []),
    tokenize: setting.tokenize,
    piece: setting.piece,
  })!;
  for (const token of tokens) made.accept?.(token);
  return made;
}

/** Normal logits; with `steps`, rounded so that many are equal. */
export function randomLogits(length: number, seed: number, steps = 0): Float32Array {
  const random = new Random(seed);
  return Float32Array.from({ length }, () => {
    const normal =
      Math.sqrt(-2 * Math.log(1 - random.double())) * Math.cos(2 * Math.PI * random.double());
    return steps > 0 ? Math.round(normal * steps) / steps : normal * 3;
  });
}
