// Conformance suite for Router plugins.
import { WrinkleFreeError } from "../errors.ts";
import type { Router, RouterShape, Routing } from "../plugin/router.ts";
import { Random } from "../sampling/random.ts";

export interface RouterTestOptions {
  /** Whether the choice must be the k largest logits, ties to the lowest index. Default true. */
  readonly picksLargest?: boolean;
}

/**
 * Checks that a router keeps its interface, on random, equal and extreme logits of 1 to 64 experts:
 * k different experts in range, finite weights that sum to one where they should, no dependence on
 * what was routed before, and errors for shapes that make no sense. Throws `plugin` naming the first
 * violation.
 */
export function testRouter(router: Router, options: RouterTestOptions = {}): void {
  const fail = (what: string): never => {
    throw new WrinkleFreeError("plugin", `router "${router.name}": ${what}`);
  };
  if (!/^[a-z0-9][a-z0-9_-]*$/.test(router.name)) fail("the name is not lower-case with dashes");
  const random = new Random(1);
  for (const experts of [1, 2, 3, 8, 64]) {
    for (const topK of [1, 2, experts]) {
      if (topK > experts) continue;
      for (const normalize of [true, false]) {
        const shape = { experts, topK, normalize };
        for (const logits of cases(experts, random)) {
          const before = logits.slice();
          const routing = router.route(logits, shape);
          const wrong = violation(logits, shape, routing, options.picksLargest ?? true);
          if (wrong !== undefined) fail(`${wrong} (${JSON.stringify(shape)}, logits ${logits})`);
          if (before.some((logit, i) => logit !== logits[i])) fail("it changes its input");
          const again = router.route(logits, shape);
          if (!same(routing, again)) fail("the same logits are routed differently");
        }
      }
    }
  }
  for (const topK of [0, 3, 1.5]) {
    const shape = { experts: 2, topK, normalize: true };
    if (!throws(() => router.route(new Float32Array(2), shape))) fail(`it accepts topK ${topK}`);
  }
  if (!throws(() => router.route(new Float32Array(3), { experts: 2, topK: 1, normalize: true }))) {
    fail("it accepts three logits for two experts");
  }
}

function cases(experts: number, random: Random): Float32Array[] {
  const make = (value: (i: number) => number) =>
    Float32Array.from({ length: experts }, (_, i) => value(i));
  return [
    make(() => 0),
    make((i) => i % 2),
    make((i) => -i),
    make((i) => (i === experts - 1 ? 80 : -80)),
    ...Array.from({ length: 20 }, () => make(() => (random.double() - 0.5) * 20)),
  ];
}

function violation(
  logits: Float32Array,
  { experts, topK, normalize }: RouterShape,
  routing: Routing,
  picksLargest: boolean,
): string | undefined {
  const chosen = [...routing.experts];
  if (chosen.length !== topK || routing.weights.length !== topK) return `it does not give ${topK}`;
  if (new Set(chosen).size !== topK) return "it chooses an expert twice";
  if (chosen.some((e) => !(Number.isInteger(e) && e >= 0 && e < experts))) return "no such expert";
  if (routing.weights.some((w) => !(w >= 0 && Number.isFinite(w)))) return "a weight is no number";
  const sum = routing.weights.reduce((a, b) => a + b, 0);
  if (normalize && Math.abs(sum - 1) > 1e-5) return `the weights sum to ${sum}`;
  if (!picksLargest) return undefined;
  const expected = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
  if (chosen.some((expert, i) => expert !== expected[i])) {
    return `it chooses [${chosen}], not [${expected.slice(0, topK)}]`;
  }
  return undefined;
}

function same(a: Routing, b: Routing): boolean {
  return (
    a.experts.every((e, i) => e === b.experts[i]) && a.weights.every((w, i) => w === b.weights[i])
  );
}

function throws(run: () => unknown): boolean {
  try {
    run();
    return false;
  } catch {
    return true;
  }
}
