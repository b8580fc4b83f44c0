// Min-p: tokens less likely than a fraction of the best one's probability are dropped.
import { Type } from "@sinclair/typebox";
import {
  argmax,
  type Candidates,
  keepLargest,
  log,
  retain,
  type Sampler,
} from "../../core/index.ts";
import { minKeep } from "./min-keep.ts";

const options = Type.Object({
  min_p: Type.Number({
    default: 0.05,
    minimum: 0,
    maximum: 1,
    description: "Drop tokens below this fraction of the best token's probability; 0 = off.",
  }),
  ...minKeep,
});

/** Keeps l_i >= l_max + ln p, and at least min_keep (Nguyen et al., 2024). Order is kept. */
export const minP: Sampler<typeof options> = {
  name: "min_p",
  letter: "m",
  options,
  create({ min_p, min_keep }) {
    if (min_p <= 0) return undefined;
    const floor = log(min_p);
    const link = { apply: (c: Candidates) => truncate(c, floor, min_keep), monotone: true };
    return min_keep > 1 ? link : { ...link, keeps: Infinity };
  },
};

function truncate(candidates: Candidates, floor: number, minKeep: number): void {
  const { logits, length } = candidates;
  if (length <= 1) return;
  const least = logits[argmax(candidates)]! + floor;
  let kept = 0;
  for (let i = 0; i < length; i++) if (logits[i]! >= least) kept++;
  if (kept < minKeep) keepLargest(candidates, minKeep);
  else if (kept > 0) retain(candidates, (i) => logits[i]! >= least);
}
