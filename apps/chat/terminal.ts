// The chat on a terminal: reads lines, streams answers, stops an answer on Ctrl-C.
import { createInterface, type Interface } from "node:readline";
import { styleText } from "node:util";
import { WrinkleFreeError } from "../../core/index.ts";
import type { AnswerStats } from "./backend.ts";
import { runChatCommand } from "./commands.ts";
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
    historySize: 500,
  });
  const stop = new Stopper(lines);
  print(paint("dim", `${session.backend.name} · /help lists commands, Ctrl-D leaves`));
  try {
    for (;;) {
      const text = await readMessage(lines, stop);
      if (text === undefined) return;
      if (text.trim() === "") continue;
      if ((await handle(session, text, stop)) === "leave") return;
    }
  } finally {
    lines.close();
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
  #asked = false;
  /** Called when Ctrl-C is pressed at the prompt. */
  onPrompt: ((leave: boolean) => void) | undefined;

  constructor(lines: Interface) {
    const pressed = (): void => {
      if (this.#abort) this.#abort.abort();
      else {
        this.onPrompt?.(this.#asked);
        this.#asked = true;
      }
    };
    lines.on("SIGINT", pressed);
    process.on("SIGINT", pressed);
  }

  begin(): AbortController {
    this.#abort = new AbortController();
    return this.#abort;
  }

  end(): void {
    this.#abort = undefined;
  }

  forget(): void {
    this.#asked = false;
  }
}

/** One message: a line, or what is between two lines of """. Undefined: the person leaves. */
async function readMessage(lines: Interface, stop: Stopper): Promise<string | undefined> {
  const first = await readLine(lines, stop, paint("cyan", "> "));
  if (first === undefined || !first.startsWith('"""')) return first;
  const parts = [first.slice(3)];
  while (!parts.at(-1)?.endsWith('"""')) {
    const line = await readLine(lines, stop, paint("cyan", "… "));
    if (line === undefined) return undefined;
    parts.push(line);
  }
  return parts.join("\n").slice(0, -3).trim();
}

function readLine(lines: Interface, stop: Stopper, prompt: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const end = (line: string | undefined): void => {
      lines.off("line", end);
      lines.off("close", closed);
      stop.onPrompt = undefined;
      if (line !== undefined) stop.forget();
      resolve(line);
    };
    const closed = (): void => {
      print("");
      end(undefined);
    };
    stop.onPrompt = (leave) => {
      if (leave) return closed();
      print("\n(Ctrl-C again leaves, /help lists commands)");
      lines.prompt();
    };
    lines.on("line", end);
    lines.on("close", closed);
    lines.setPrompt(prompt);
    lines.prompt();
  });
}
