// What was typed in earlier chats, kept in the user's state folder, newest first.
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

/** Lines that are kept. */
export const historySize = 500;

function historyPath(): string {
  const state = process.env.XDG_STATE_HOME || join(homedir(), ".local", "state");
  return join(state, "wrinklefree", "chat_history");
}

/** Earlier lines; none when there is no file, or it cannot be read. */
export async function readHistory(): Promise<string[]> {
  const text = await readFile(historyPath(), "utf8").catch(() => "");
  return text.split("\n").filter((line) => line !== "");
}

/** Keeps lines for the next chat. A history that cannot be written is not worth an error. */
export async function writeHistory(lines: readonly string[]): Promise<void> {
  const path = historyPath();
  const temporary = `${path}.${process.pid}`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(temporary, `${lines.slice(0, historySize).join("\n")}\n`, { mode: 0o600 });
    await rename(temporary, path);
  } catch {
    // A read-only home: the chat goes on without.
  }
}
