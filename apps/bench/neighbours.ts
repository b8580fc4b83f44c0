// Measures decode beside processes that never rest, all on one core, against decode alone.
import { availableParallelism } from "node:os";
import type { Runtime } from "../../core/index.ts";
import { median } from "./measure.ts";
import { percent } from "./report.ts";
import { decode } from "./steps.ts";

/** Tokens/s of one sequence from depth 0 on. */
export interface NeighbourResult {
  readonly neighbours: number;
  readonly threads: number;
  readonly cores: number;
  /** Whether the neighbours are held on one core; else the system may move them. */
  readonly pinned: boolean;
  readonly alone: number;
  readonly beside: number;
  /** Median over the rounds of beside / alone. */
  readonly ratio: number;
  /** What is left of the cores that the threads can have, if the neighbours take an equal share of one. */
  readonly fair: number;
}

/** Milliseconds in which a process starts or stops running. */
const settleMs = 300;
const spin = "for (;;);";

export async function besideNeighbours(
  runtime: Runtime,
  options: { readonly neighbours: number; readonly repetitions: number; readonly steps: number },
): Promise<NeighbourResult> {
  const { neighbours, repetitions, steps } = options;
  const { threads } = runtime.info;
  const cores = availableParallelism();
  const taskset = process.platform === "linux" ? Bun.which("taskset") : null;
  const pin = taskset === null ? [] : [taskset, "-c", String(cores - 1)];
  const children = Array.from({ length: neighbours }, () =>
    Bun.spawn([...pin, process.execPath, "-e", spin], { stdio: ["ignore", "ignore", "inherit"] }),
  );
  const signal = async (name: "SIGSTOP" | "SIGCONT"): Promise<void> => {
    for (const child of children) child.kill(name);
    await Bun.sleep(settleMs);
  };
  const speed = (): number => {
    const start = performance.now();
    decode(runtime, 0, 1, steps);
    return (1000 * steps) / (performance.now() - start);
  };
  const [alone, beside]: [number[], number[]] = [[], []];
  try {
    await Bun.sleep(settleMs);
    speed();
    for (let round = 0; round < repetitions; round++) {
      await signal("SIGSTOP");
      alone.push(speed());
      await signal("SIGCONT");
      beside.push(speed());
    }
  } finally {
    for (const child of children) child.kill("SIGKILL");
  }
  return {
    neighbours,
    threads,
    cores,
    pinned: taskset !== null,
    alone: median(alone),
    beside: median(beside),
    ratio: median(beside.map((value, i) => value / (alone[i] as number))),
    fair: Math.min(1, (cores - 1 + 1 / (neighbours + 1)) / threads),
  };
}

export function neighbourLines(result: NeighbourResult): string {
  const { neighbours, threads, cores, pinned, alone, beside, ratio, fair } = result;
  const where = pinned ? `on core ${cores - 1}` : "on any core (no taskset here)";
  return [
    `${threads} threads on ${cores} cores, ${neighbours} neighbours ${where}`,
    `alone   ${alone.toFixed(1)} tokens/s`,
    `beside  ${beside.toFixed(1)} tokens/s, ${percent(ratio)}; fair share: ${percent(fair)}`,
  ].join("\n");
}
