// The chat on a terminal: reads lines, streams answers, stops an answer on Ctrl-C.
import { createInterface, type Interface } from "node:readline";
import { styleText } from "node:util";
import { WrinkleFreeError } from "../../core/index.ts";
import type { AnswerStats } from "./backend.ts";
import { runChatCommand } from "./commands.ts";
import { historySize, readHistory, writeHistory } from "./history.ts";
import type { Session } from "./session.ts";

type Style = Parameters<typeof styleText>[0];

/** Colours only where a person sees them and does not object (NO_COLOR). */
function paint(style: Style, text: string): string {
  const plain = !process.stdout.isTTY || process.env.NO_COLOR;
  return plain ? text : styleText(style, text, { validateStream: false });
}

const print = (text: string): void => void process.stdout.write(`${text}\n`);

/** Talks until the person leaves. */
export async function runTerminal(session: Session): Promise<void> {
  const lines = createInterface({
    input: process.stdin,
    output: process.stdout,
    terminal: true,
    history: await readHistory(),
    historySize,
    removeHistoryDuplicates: true,
  });
  let history: readonly string[] | undefined;
  lines.on("history", (all: string[]) => {
    history = [...all];
  });
  const stop = new Stopper();
  const reader = new LineReader(lines, stop);
  print(paint("dim", `${session.backend.name} · /help lists commands, Ctrl-D leaves`));
  try {
    for (;;) {
      const text = await reader.message();
      if (text === undefined) return;
      if (text.trim() === "") continue;
      if ((await handle(session, text, stop)) === "leave") return;
    }
  } finally {
    lines.close();
    if (history) await writeHistory(history);
  }
}

async function handle(
  session: Session,
  text: string,
  stop: Stopper,
): Promise<"leave" | "continue"> {
  try {
    let next: "continue" | "answer" | "leave" = "answer";
    if (text.startsWith("/")) next = await runChatCommand(session, text.trim(), print);
    else session.messages.push({ role: "user", content: text });
    if (next === "answer") await answer(session, stop);
    return next === "leave" ? "leave" : "continue";
  } catch (error) {
    if (!(error instanceof WrinkleFreeError)) throw error;
    print(paint("red", `error: ${error.message}`));
    if (error.hint) print(paint("dim", `hint: ${error.hint}`));
    return "continue";
  }
}

/** Streams one answer and keeps what was said of it, also when it was stopped. */
async function answer(session: Session, stop: Stopper): Promise<void> {
  const abort = stop.begin();
  let said = "";
  try {
    const stream = session.backend.answer(session.conversation, session.settings, abort.signal);
    let step = await stream.next();
    for (; !step.done; step = await stream.next()) {
      const text = said === "" ? step.value.trimStart() : step.value;
      said += text;
      process.stdout.write(text);
    }
    print("");
    print(paint("dim", summary(step.value)));
  } catch (error) {
    if (!abort.signal.aborted) {
      if (said === "") session.messages.pop();
      throw error;
    }
    print(paint("dim", said === "" ? "(stopped)" : " (stopped)"));
  } finally {
    stop.end();
    if (said !== "") session.messages.push({ role: "assistant", content: said });
  }
}

function summary(stats: AnswerStats): string {
  const seconds = (stats.totalMs - stats.firstMs) / 1000;
  const rate = seconds > 0 ? (stats.tokens - 1) / seconds : 0;
  const cached = stats.cachedTokens > 0 ? ` (${stats.cachedTokens} cached)` : "";
  return [
    `${stats.tokens} tokens`,
    `${rate.toFixed(1)}/s`,
    `first after ${(stats.firstMs / 1000).toFixed(2)} s`,
    `prompt ${stats.promptTokens}${cached}`,
    ...(stats.cut ? ["cut: no room for more"] : []),
  ].join(", ");
}

/** Gives Ctrl-C to the answer while there is one; at the prompt the second one leaves. */
class Stopper {
  #abort: AbortController | undefined;
  /** Called when Ctrl-C is pressed at the prompt. */
  onPrompt: () => void = () => {};

  press(): void {
    if (this.#abort) this.#abort.abort();
    else this.onPrompt();
  }

  begin(): AbortController {
    this.#abort = new AbortController();
    return this.#abort;
  }

  end(): void {
    this.#abort = undefined;
  }
}

/** Lines as the person enters them; what is pasted or typed ahead waits for its turn. */
class LineReader {
  readonly #lines: Interface;
  readonly #waiting: string[] = [];
  #closed = false;
  #asked = false;
  #wake: () => void = () => {};

  constructor(lines: Interface, stop: Stopper) {
    this.#lines = lines;
    lines.on("line", (line) => {
      this.#waiting.push(line);
      this.#wake();
    });
    lines.on("close", () => {
      this.#closed = true;
      this.#wake();
    });
    lines.on("SIGINT", () => stop.press());
    process.on("SIGINT", () => stop.press());
    stop.onPrompt = () => this.#interrupted();
  }

  #interrupted(): void {
    if (this.#asked) {
      this.#lines.close();
      return;
    }
    this.#asked = true;
    print("\n(Ctrl-C again leaves, /help lists commands)");
    this.#lines.prompt();
  }

  /** The next line; undefined when the person leaves. */
  async read(prompt: string): Promise<string | undefined> {
    if (this.#waiting.length === 0 && !this.#closed) {
      this.#lines.setPrompt(prompt);
      this.#lines.prompt();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#asked = false;
    const line = this.#waiting.shift();
    if (line === undefined) print("");
    return line;
  }

  /** One message: a line, or what is between two lines of """. */
  async message(): Promise<string | undefined> {
    const first = await this.read(paint("cyan", "> "));
    if (!first?.startsWith('"""')) return first;
    const parts = [first.slice(3)];
    while (!parts.at(-1)?.endsWith('"""')) {
      const line = await this.read(paint("cyan", "… "));
      if (line === undefined) return undefined;
      parts.push(line);
    }
    return parts.join("\n").slice(0, -3).trim();
  }
}
