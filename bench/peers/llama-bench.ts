// A peer that is a llama-bench program (llama.cpp, ik_llama.cpp, bitnet.cpp), run once for each time.
import { spawnSync } from "node:child_process";
import type { Command, Peer } from "./peer.ts";

export interface LlamaBenchOptions {
  /** Path of the program. */
  readonly program: string;
  readonly model: string;
  readonly threads: number;
  /** More arguments, e.g. "-rtr 1" (ik_llama.cpp: repack at load). */
  readonly extra: readonly string[];
  readonly name: string;
}

/** The program loads the model each time; that is not in the time that it tells. */
export function llamaBench(options: LlamaBenchOptions): Peer {
  const own = ["-m", options.model, "-t", String(options.threads), "-r", "1", "-o", "json"];
  return {
    engine: options.name,
    time: async (command) => {
      const args = [...own, ...options.extra, ...argumentsOf(command)];
      const { status, stdout, stderr } = spawnSync(options.program, args, { encoding: "utf8" });
      if (status !== 0) throw new Error(`${options.program}: ${stderr.slice(-400)}`);
      return millisecondsOf(stdout, command);
    },
    close: () => {},
  };
}

function argumentsOf(command: Command): string[] {
  if (command.test === "prefill") return ["-p", String(command.tokens), "-n", "0"];
  if (command.depth === 0) return ["-p", "0", "-n", String(command.steps)];
  return ["-p", "0", "-n", "0", "-gp", `${command.depth},${command.steps}`];
}

/** Of the generated part alone: its tokens over its speed. */
function millisecondsOf(output: string, command: Command): number {
  const results = JSON.parse(output.slice(output.indexOf("["))) as { avg_ts: number }[];
  const speed = results.at(-1)?.avg_ts;
  if (!speed) throw new Error(`llama-bench told no speed: ${output.slice(0, 200)}`);
  return (1000 * (command.test === "prefill" ? command.tokens : command.steps)) / speed;
}
