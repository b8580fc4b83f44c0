// Servers and other programs as processes of their own: started, waited for, ended by a signal.
import { createServer } from "node:net";
import { root } from "./stranger.ts";

/** A port on the loopback address that is free now. */
export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

export interface Program {
  readonly url: string;
  readonly child: Bun.Subprocess;
  /** Sends a signal and waits for the end; its exit code. */
  end(signal?: "SIGTERM" | "SIGKILL"): Promise<number>;
}

/** Starts a program that will listen at `url`, and waits until `ready` holds. Rejects if it ends. */
export async function startProgram(
  command: readonly string[],
  url: string,
  ready: (url: string) => Promise<boolean>,
  env: Readonly<Record<string, string>> = {},
): Promise<Program> {
  const child = Bun.spawn([...command], {
    cwd: root,
    env: { ...process.env, ...env },
    stdout: "ignore",
    stderr: "ignore",
  });
  const end = async (signal: "SIGTERM" | "SIGKILL" = "SIGKILL"): Promise<number> => {
    child.kill(signal);
    return await child.exited;
  };
  for (;;) {
    if (await ready(url).catch(() => false)) return { url, child, end };
    if (child.exitCode !== null) {
      throw new Error(`${command.join(" ")} ended with ${child.exitCode}`);
    }
    await Bun.sleep(50);
  }
}

/** `GET /health` is answered with 200. */
export async function healthy(url: string): Promise<boolean> {
  return (await fetch(`${url}/health`)).ok;
}
