// Keeps two conversions from writing the same output at once.
import { closeSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { WrinkleFreeError } from "../../core/index.ts";
import { writeFailure } from "../../plugins/standard.ts";

/**
 * Holds `<output>.lock`, a file with this process's number, until it is disposed of. One that a
 * process left which is no more is taken over. Throws `usage` while another conversion holds it.
 */
export function lockOutput(output: string): Disposable {
  const path = `${output}.lock`;
  const handle = create(path, output) ?? takeOver(path, output);
  const release = (): void => rmSync(path, { force: true });
  try {
    writeSync(handle, String(process.pid));
  } catch (cause) {
    release();
    throw writeFailure(output, 1, cause);
  } finally {
    closeSync(handle);
  }
  return { [Symbol.dispose]: release };
}

/** undefined where the file exists. */
function create(path: string, output: string): number | undefined {
  try {
    return openSync(path, "wx");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return undefined;
    throw writeFailure(output, 1, cause);
  }
}

function takeOver(path: string, output: string): number {
  // Empty: its holder is about to write its number.
  const holder = readFileSync(path, "utf8") || "?";
  if (!runs(holder)) rmSync(path, { force: true });
  const handle = create(path, output);
  if (handle !== undefined) return handle;
  throw new WrinkleFreeError("usage", `${output} is being written by process ${holder}`, {
    file: output,
    flag: "-o",
    hint: `Wait for it, choose another name, or remove ${path} if no conversion runs.`,
  });
}

function runs(holder: string): boolean {
  if (holder === "?") return true;
  const pid = Number(holder);
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
