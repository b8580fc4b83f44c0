// A peer engine: something that can be told to read a prompt or to decode, and says how long it took.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

/** One thing to time. Depth: positions in the cache when decoding starts. */
export type Command =
  | { readonly test: "prefill"; readonly tokens: number }
  | { readonly test: "decode"; readonly depth: number; readonly steps: number };

export interface Peer {
  /** As the results name it, with its version. */
  readonly engine: string;
  /** Milliseconds. */
  time(command: Command): Promise<number>;
  close(): void;
}

/** A peer in a process of its own, which answers commands on stdin as JSON lines. */
export class ProcessPeer implements Peer {
  readonly engine: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  private constructor(engine: string, child: ChildProcessByStdio<Writable, Readable, null>) {
    this.engine = engine;
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** Starts the process and waits until its model is loaded. Throws with what it printed instead. */
  static async start(engine: string, command: string, args: readonly string[]): Promise<Peer> {
    const child = spawn(command, [...args], { stdio: ["pipe", "pipe", "inherit"] });
    child.on("error", (error) => console.error(`${engine}: ${error.message}`));
    const peer = new ProcessPeer(engine, child);
    const { about } = await peer.#answer();
    console.error(`${engine}: ${JSON.stringify(about)}`);
    return peer;
  }

  async time(command: Command): Promise<number> {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    const { ms } = await this.#answer();
    if (typeof ms === "number") return ms;
    throw new Error(`${this.engine}: no time for ${JSON.stringify(command)}`);
  }

  close(): void {
    this.#child.stdin.end();
    this.#child.kill();
  }

  async #answer(): Promise<Record<string, unknown>> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(`${this.engine} ended`);
      if (value.startsWith("{")) return JSON.parse(value) as Record<string, unknown>;
      console.error(`${this.engine}: ${value}`);
    }
  }
}
