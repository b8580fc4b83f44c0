// What a fuzzer is: makes inputs from a seed, checks how they are taken, and says what is wrong.
import { WrinkleFreeError } from "../../core/index.ts";
import type { Chance } from "./chance.ts";

export type Input = Uint8Array | string;
export type Verdict = "accepted" | "refused";

export interface Fuzzer {
  readonly name: string;
  /** Part of the whole time that it gets, relative to the others. */
  readonly share: number;
  /** File name ending of its inputs in the corpus. */
  readonly extension: string;
  /** The input of one case. The bytes may be overwritten by the next one. */
  make(chance: Chance): Input;
  /** Gives the input to the parser. Throws what the parser must not throw, or `Finding`. */
  check(input: Input): Verdict | Promise<Verdict>;
  /** Frees what it holds. */
  close?(): Promise<void>;
}

/** A wrong answer to an input, as opposed to an error that nobody raised on purpose. */
export class Finding extends Error {
  readonly kind: "wrongly accepted" | "unclear refusal";

  constructor(kind: Finding["kind"], message: string) {
    super(message);
    this.kind = kind;
  }
}

export function wrong(message: string): never {
  throw new Finding("wrongly accepted", message);
}

const longestMessage = 2000;

/** "accepted" unless `run` throws; its error must be one clear line, else it is thrown on. */
export function verdictOf(run: () => void, names?: string): Verdict {
  try {
    run();
    return "accepted";
  } catch (error) {
    refusal(error, names);
    return "refused";
  }
}

/** Throws unless `error` is a refusal in one line that contains `names`. */
export function refusal(error: unknown, names = ""): void {
  if (!(error instanceof WrinkleFreeError) || error.code === "internal") throw error;
  const { message } = error;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\0-\x1f\x7f\u2028\u2029]/.test(message)) unclear("more than one line", message);
  if (/\n\s+at |\/node_modules\/|\.ts:\d+/.test(message)) unclear("a stack or a path", message);
  if (message.length > longestMessage) unclear(`${message.length} characters`, message);
  if (message.length < 10) unclear("too short", message);
  if (!message.includes(names)) unclear(`it does not name ${names}`, message);
}

function unclear(what: string, message: string): never {
  throw new Finding("unclear refusal", `${what}: ${message.slice(0, 300)}`);
}
