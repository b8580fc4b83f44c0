// Logit bias: adds to, or bans, chosen tokens; ignore_eos and min_tokens ban the end tokens.
import { Type } from "@sinclair/typebox";
import {
  type Candidates,
  indexOfToken,
  retain,
  type Sampler,
  type SamplerContext,
  type SamplerLink,
  WrinkleFreeError,
} from "../../core/index.ts";

const bias = Type.Union([Type.Number(), Type.Literal(false)]);

const options = Type.Object({
  logit_bias: Type.Union(
    [
      Type.Array(Type.Tuple([Type.Union([Type.Integer(), Type.String()]), bias]), {
        maxItems: 65536,
      }),
      Type.Record(Type.String(), bias),
    ],
    {
      default: [],
      description:
        "Added to the logits of tokens: {id: bias} or [[id or text, bias], ...]; false bans them.",
    },
  ),
  ignore_eos: Type.Boolean({
    default: false,
    description: "Never draw a token that ends generation.",
  }),
  allowed_token_ids: Type.Array(Type.Integer({ minimum: 0 }), {
    default: [],
    maxItems: 1 << 21,
    description: "Draw only these tokens; empty = any.",
  }),
  min_tokens: Type.Integer({
    default: 0,
    minimum: 0,
    description: "Draw no token that ends generation before this many tokens were generated.",
  }),
});

/** l_i += bias_i, before all other samplers; -Infinity (`false`) takes the token out. */
export const logitBias: Sampler<typeof options> = {
  name: "logit_bias",
  place: "first",
  options,
  create(request, context) {
    const biases = new Map<number, number>();
    const entries = Array.isArray(request.logit_bias)
      ? request.logit_bias
      : Object.entries(request.logit_bias);
    for (const [key, value] of entries) {
      const amount = value === false ? -Infinity : value;
      for (const token of tokensOf(key, context)) {
        biases.set(token, (biases.get(token) ?? 0) + amount);
      }
    }
    if (request.ignore_eos) for (const token of context.endTokens) biases.set(token, -Infinity);
    const minimum = request.ignore_eos ? 0 : request.min_tokens;
    for (const token of request.allowed_token_ids) tokensOf(token, context, "allowed_token_ids");
    const allowed = new Set(request.allowed_token_ids);
    if (biases.size === 0 && minimum === 0 && allowed.size === 0) return undefined;
    return new LogitBias(biases, context, minimum, allowed);
  },
};

/** OpenAI's keys are ids as digits; llama.cpp also takes text, which may be several tokens. */
function tokensOf(key: number | string, context: SamplerContext, field = "logit_bias"): number[] {
  const digits = typeof key === "string" && /^\d+$/.test(key);
  if (typeof key === "string" && !digits && context.tokenize !== undefined) {
    return context.tokenize(key);
  }
  const id = Number(key);
  if (Number.isInteger(id) && id >= 0 && id < context.vocabularySize) return [id];
  throw new WrinkleFreeError(
    "bad_request",
    `"${field}": token ${key} is outside of the vocabulary of ${context.vocabularySize} tokens`,
    { field },
  );
}

class LogitBias implements SamplerLink {
  readonly #biases: ReadonlyMap<number, number>;
  readonly #context: SamplerContext;
  readonly #minimum: number;
  /** Empty: all. */
  readonly #allowed: ReadonlySet<number>;

  constructor(
    biases: ReadonlyMap<number, number>,
    context: SamplerContext,
    minimum: number,
    allowed: ReadonlySet<number>,
  ) {
    this.#biases = biases;
    this.#context = context;
    this.#minimum = minimum;
    this.#allowed = allowed;
  }

  get #endsBanned(): boolean {
    return this.#context.tokens.length - this.#context.promptLength < this.#minimum;
  }

  get lowers(): number | undefined {
    if (this.#allowed.size > 0) return undefined;
    for (const amount of this.#biases.values()) if (amount > 0) return undefined;
    return this.#biases.size + (this.#endsBanned ? this.#context.endTokens.size : 0);
  }

  apply(candidates: Candidates): void {
    const { ids, logits } = candidates;
    for (const [token, amount] of this.#biases) {
      const at = indexOfToken(candidates, token);
      if (at < 0) continue;
      logits[at]! += amount;
      candidates.sorted = false;
    }
    if (this.#allowed.size > 0) retain(candidates, (index) => this.#allowed.has(ids[index]!));
    if (!this.#endsBanned) return;
    const { endTokens } = this.#context;
    retain(candidates, (index) => !endTokens.has(ids[index]!));
  }
}
