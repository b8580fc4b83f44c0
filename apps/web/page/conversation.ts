// Conversations: their shape, their request messages, and the check of imported ones.

/** A token of an answer with its log-probability and the likeliest alternatives: [text, logprob]. */
export type TokenScore = readonly [
  text: string,
  logprob: number,
  top: readonly (readonly [text: string, logprob: number])[],
];

export interface AnswerStats {
  /** Prompt tokens in all, and those of them that came from the server's prefix cache. */
  readonly prompt: number;
  readonly cached: number;
  readonly generated: number;
  readonly perSecond: number;
  /** Milliseconds from sending to the first text, as the browser saw it. */
  readonly firstMs?: number;
}

/** How an answer ended; "error" has its text in `error`. */
export type Finish = "stop" | "length" | "stopped" | "error";

export interface Answer {
  readonly text: string;
  /** What a reasoning model thought before it answered; not part of later requests. */
  readonly reasoning?: string;
  readonly model?: string;
  readonly finish?: Finish;
  readonly error?: string;
  readonly stats?: AnswerStats;
  readonly tokens?: readonly TokenScore[];
}

export interface UserTurn {
  readonly id: string;
  readonly role: "user";
  readonly text: string;
}

/** A reply, with what regenerating gave besides; `shown` is the answer that the conversation goes on from. */
export interface AssistantTurn {
  readonly id: string;
  readonly role: "assistant";
  readonly answers: readonly Answer[];
  readonly shown: number;
}

export type Turn = UserTurn | AssistantTurn;

export interface Conversation {
  readonly id: string;
  readonly title: string;
  /** Unix milliseconds. */
  readonly created: number;
  readonly updated: number;
  readonly system: string;
  readonly turns: readonly Turn[];
}

export interface Message {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

export const newId = (): string => {
  // randomUUID needs a secure context, which plain http to another machine is not.
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
};

export function newConversation(system: string): Conversation {
  const now = Date.now();
  return { id: newId(), title: "", created: now, updated: now, system, turns: [] };
}

export function shownAnswer(turn: AssistantTurn): Answer {
  return turn.answers[turn.shown] ?? { text: "" };
}

/** The messages of a request: the system prompt, then the turns; empty answers are left out. */
export function messagesOf(system: string, turns: readonly Turn[]): Message[] {
  const messages: Message[] = [];
  if (system.trim() !== "") messages.push({ role: "system", content: system });
  for (const turn of turns) {
    const content = turn.role === "user" ? turn.text : shownAnswer(turn).text;
    if (content !== "") messages.push({ role: turn.role, content });
  }
  return messages;
}

/** The start of the first message, on one line. */
export function titleOf(text: string): string {
  const line = text.trim().replaceAll(/\s+/g, " ");
  return line.length > 60 ? `${line.slice(0, 59).trimEnd()}…` : line || "Untitled";
}

const limits = { conversations: 10_000, turns: 10_000, answers: 100, text: 4_000_000 };

/** Reads one conversation that came from a file. Throws a text that names what does not fit. */
export function readConversation(value: unknown): Conversation {
  const source = object(value, "a conversation");
  const turns = list(source.turns, "turns", limits.turns).map(readTurn);
  const created = time(source.created);
  return {
    // A new identity, so that importing twice never overwrites what is there.
    id: newId(),
    title: titleOf(string(source.title ?? "", "title")),
    created,
    updated: Math.max(created, time(source.updated)),
    system: string(source.system ?? "", "system"),
    turns,
  };
}

function readTurn(value: unknown): Turn {
  const source = object(value, "a turn");
  if (source.role === "user") {
    return { id: newId(), role: "user", text: string(source.text, "text") };
  }
  if (source.role !== "assistant") throw new Error(`a turn's role is neither user nor assistant`);
  const answers = list(source.answers, "answers", limits.answers).map(readAnswer);
  const shown = Number(source.shown ?? 0);
  const valid = Number.isInteger(shown) && shown >= 0 && shown < answers.length;
  return { id: newId(), role: "assistant", answers, shown: valid ? shown : 0 };
}

const finishes: readonly unknown[] = ["stop", "length", "stopped", "error"];

function readAnswer(value: unknown): Answer {
  const source = object(value, "an answer");
  return {
    text: string(source.text, "text"),
    ...(typeof source.reasoning === "string" && {
      reasoning: string(source.reasoning, "reasoning"),
    }),
    ...(typeof source.model === "string" && { model: source.model.slice(0, 200) }),
    ...(finishes.includes(source.finish) && { finish: source.finish as Finish }),
    ...(typeof source.error === "string" && { error: source.error.slice(0, 2000) }),
  };
}

function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new Error(`${what} is not an object`);
}

function list(value: unknown, name: string, limit: number): unknown[] {
  if (!Array.isArray(value)) throw new Error(`"${name}" is not a list`);
  if (value.length > limit) throw new Error(`"${name}" has more than ${limit} entries`);
  return value;
}

function string(value: unknown, name: string): string {
  if (typeof value !== "string") throw new Error(`"${name}" is not text`);
  if (value.length > limits.text) throw new Error(`"${name}" is too long`);
  return value;
}

function time(value: unknown): number {
  return typeof value === "number" && value > 0 && value < 1e15 ? value : Date.now();
}

/** The file that a page exports. */
interface ExportFile {
  readonly format: "wrinklefree-conversations";
  readonly version: 1;
  readonly conversations: readonly Conversation[];
}

export function exportText(conversations: readonly Conversation[]): string {
  const file: ExportFile = { format: "wrinklefree-conversations", version: 1, conversations };
  return JSON.stringify(file, undefined, 1);
}

/** Conversations of an exported file, with new identities. Throws a text that says what is wrong. */
export function importText(text: string): Conversation[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("it is not JSON");
  }
  const file = object(value, "the file");
  if (file.format !== "wrinklefree-conversations") {
    throw new Error("it was not exported by this page");
  }
  return list(file.conversations, "conversations", limits.conversations).map(readConversation);
}
