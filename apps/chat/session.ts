// One conversation in the terminal: its messages, its settings, and what the slash commands do to them.
import { readFile, writeFile } from "node:fs/promises";
import type { TObject } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { type ChatMessage, nearest, WrinkleFreeError } from "../../core/index.ts";
import type { Backend } from "./backend.ts";

export interface SavedConversation {
  readonly system?: string;
  readonly messages: readonly ChatMessage[];
}

export class Session {
  readonly backend: Backend;
  /** Every setting that there is, as a schema. */
  readonly schema: TObject;
  readonly settings: Record<string, unknown>;
  system: string | undefined;
  messages: ChatMessage[] = [];

  constructor(
    backend: Backend,
    schema: TObject,
    options: { system?: string; settings?: Record<string, unknown> } = {},
  ) {
    this.backend = backend;
    this.schema = schema;
    this.system = options.system;
    this.settings = { ...options.settings };
  }

  /** The conversation with the system prompt in front. */
  get conversation(): ChatMessage[] {
    const { system } = this;
    return [...(system ? [{ role: "system", content: system }] : []), ...this.messages];
  }

  /** Sets one setting from text. Throws `usage` naming what it may be. */
  set(name: string, text: string): void {
    const schema = this.schema.properties[name];
    if (!schema) {
      const known = Object.keys(this.schema.properties);
      const guess = nearest(name, known);
      throw new WrinkleFreeError("usage", `there is no setting "${name}"`, {
        hint: guess ? `Did you mean ${guess}?` : `There are: ${known.join(", ")}.`,
      });
    }
    const value = parseValue(text);
    const error = Value.Errors(schema, value).First();
    if (error) {
      throw new WrinkleFreeError("usage", `${name} ${text}: ${error.message.toLowerCase()}`);
    }
    this.settings[name] = value;
  }

  /** Takes back the last answer, so that it can be given anew. Throws `usage` when there is none. */
  dropAnswer(): void {
    if (this.messages.at(-1)?.role === "assistant") this.messages.pop();
    if (this.messages.at(-1)?.role !== "user") {
      throw new WrinkleFreeError("usage", "there is no answer to give again");
    }
  }

  async save(path: string): Promise<void> {
    const saved: SavedConversation = { system: this.system, messages: this.messages };
    await writeFile(path, `${JSON.stringify(saved, null, 2)}\n`);
  }

  /** Throws `usage` when the file is not a saved conversation. */
  async load(path: string): Promise<void> {
    let saved: Partial<SavedConversation>;
    try {
      saved = JSON.parse(await readFile(path, "utf8")) as Partial<SavedConversation>;
    } catch (cause) {
      throw new WrinkleFreeError("usage", `${path} cannot be read: ${(cause as Error).message}`);
    }
    const { messages, system } = saved;
    if (!Array.isArray(messages) || !messages.every(isMessage)) {
      throw new WrinkleFreeError("usage", `${path} is not a conversation that /save wrote`);
    }
    this.messages = [...messages];
    this.system = typeof system === "string" ? system : undefined;
  }
}

function isMessage(value: unknown): value is ChatMessage {
  const { role, content } = (value ?? {}) as Partial<ChatMessage>;
  return typeof role === "string" && typeof content === "string";
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
