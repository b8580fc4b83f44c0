// Confidence intervals of what an evaluation counts.

/** Ends of a 95 % interval. */
export type Interval = readonly [low: number, high: number];

/** Standard normal quantile of 0.975. */
const z = 1.959964;

/** Wilson's interval of a share of `count` trials: E. B. Wilson, JASA 22 (1927). */
export function wilson(share: number, count: number): Interval {
  const scale = 1 + z ** 2 / count;
  const middle = (share + z ** 2 / (2 * count)) / scale;
  const half = (z / scale) * Math.sqrt((share * (1 - share)) / count + (z / (2 * count)) ** 2);
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

/** Of a mean with its standard error. */
export function normal(value: number, stderr: number): Interval {
  return [value - z * stderr, value + z * stderr];
}

/** Mean of `values` (at least one), and its standard error by the sample's deviation. */
export function meanOf(values: readonly number[]): { mean: number; stderr: number } {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, stderr: count > 1 ? Math.sqrt(squares / (count - 1) / count) : 0 };
}
