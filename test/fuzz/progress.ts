// What a fuzzing process tells its parent, in memory that outlives it.

/** Places in the shared array of float64. */
export const progress = {
  index: 0,
  done: 1,
  accepted: 2,
  refused: 3,
  slowest: 4,
  slowestCase: 5,
  memory: 6,
} as const;

export const progressBytes = 64;

/** One line of the findings file. */
export interface Report {
  readonly index: number;
  readonly kind: "crash" | "hang" | "wrongly accepted" | "unclear refusal";
  readonly text: string;
  readonly where: string;
}
