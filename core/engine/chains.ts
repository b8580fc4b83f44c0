// Makes the sampler chain of a request from the registered samplers.
import type { Model } from "../model.ts";
import type { Registry } from "../registry.ts";
import { createSamplerChain } from "../sampling/chain.ts";
import { createTokenizer } from "../text/tokenizer.ts";
import type { Tokenizer } from "../text/types.ts";
import type { ChainFactory } from "./engine.ts";

/** A seed for requests that name none: any 32-bit number. */
function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] as number;
}

/**
 * The factory of a model's chains. The tokenizer is built on first use only: few samplers read text
 * (DRY's sequence breakers, infill), and a vocabulary takes memory.
 */
export function createChainFactory(registry: Registry, model: Model): ChainFactory {
  let tokenizer: Tokenizer | undefined;
  const text = (): Tokenizer | undefined => {
    if (!tokenizer && model.tokenizer) tokenizer = createTokenizer(model.tokenizer);
    return tokenizer;
  };
  const endTokens = new Set(model.endTokens);
  const decoder = new TextDecoder();
  return (request) =>
    createSamplerChain(registry.samplers, request.sampling, {
      vocabularySize: model.hyperparameters.vocabulary,
      seed: request.seed ?? randomSeed(),
      tokens: request.prompt,
      endTokens: request.endTokens.length > 0 ? new Set(request.endTokens) : endTokens,
      tokenize: (string) => text()?.encode(string, { parseSpecial: false }) ?? [],
      piece: (token) => decoder.decode(text()?.bytes(token) ?? new Uint8Array()),
    });
}
