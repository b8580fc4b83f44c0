// Makes what chooses a request's tokens: its sampler chain, and its constraint where it has one.
import { WrinkleFreeError } from "../errors.ts";
import { type Constraint, ConstraintFactory } from "../grammar/constraint.ts";
import type { Model } from "../model.ts";
import type { Registry } from "../registry.ts";
import { createSamplerChain } from "../sampling/chain.ts";
import { createTokenizer } from "../text/tokenizer.ts";
import type { Tokenizer } from "../text/types.ts";
import type { ChooserFactory } from "./engine.ts";
import type { GenerateRequest } from "./protocol.ts";

/** A seed for requests that name none: any 32-bit number. */
function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] as number;
}

/**
 * The factory of a model's choosers. The tokenizer is built on first use only: few samplers read text
 * (DRY's sequence breakers, infill) and constraints do, and a vocabulary takes memory.
 */
export function createChooserFactory(registry: Registry, model: Model): ChooserFactory {
  let tokenizer: Tokenizer | undefined;
  const text = (): Tokenizer | undefined => {
    if (!tokenizer && model.tokenizer) tokenizer = createTokenizer(model.tokenizer);
    return tokenizer;
  };
  const endTokens = new Set(model.endTokens);
  const decoder = new TextDecoder();
  let constraints: ConstraintFactory | undefined;
  const constrain = (request: GenerateRequest): Constraint | undefined => {
    if (!request.constraint) return undefined;
    const own = text();
    if (!own) {
      throw new WrinkleFreeError("unsupported", "the model file has no tokenizer to constrain by", {
        field: "constraint",
      });
    }
    constraints ??= new ConstraintFactory(own);
    return constraints.create(request.constraint, request.endTokens);
  };
  return (request) => ({
    constraint: constrain(request),
    chain: createSamplerChain(registry.samplers, request.sampling, {
      vocabularySize: model.hyperparameters.vocabulary,
      seed: request.seed ?? randomSeed(),
      tokens: request.prompt,
      endTokens: request.endTokens.length > 0 ? new Set(request.endTokens) : endTokens,
      tokenize: (string) => text()?.encode(string, { parseSpecial: false }) ?? [],
      piece: (token) => decoder.decode(text()?.bytes(token) ?? new Uint8Array()),
    }),
  });
}
