// Reads an answer as it comes: text, calls of functions, and the pieces of their arguments.

export type ToolEvent =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "call"; readonly index: number; readonly name: string }
  /** A piece of the call's arguments; all pieces together are JSON. */
  | { readonly type: "arguments"; readonly index: number; readonly text: string };

export interface CallTags {
  readonly open: string;
  readonly close: string;
}

/** The beginning of a call, up to its arguments, in the order that models are taught. */
const header =
  /^\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)/;

/** What an unfinished header may look like; anything else is read as a whole at its end. */
const longestHeader = 4096;

/** Reads one answer. Calls of functions that were not offered are text. */
export class ToolCallParser {
  readonly #names: ReadonlySet<string>;
  readonly #tags: CallTags | undefined;
  #state: "text" | "header" | "arguments" | "end" = "text";
  #buffer = "";
  /** The text of the call that is being read, to give back if it is none. */
  #call = "";
  #index = -1;
  #depth = 0;
  #inString = false;
  #escaped = false;
  #sawText = false;
  #afterCall = false;

  /** @param tags around a call; undefined: an answer that is a JSON object is a call */
  constructor(names: Iterable<string>, tags: CallTags | undefined) {
    this.#names = new Set(names);
    this.#tags = tags;
  }

  /** How many calls have begun. */
  get calls(): number {
    return this.#index + 1;
  }

  /** Takes the next piece of the answer. */
  push(text: string): ToolEvent[] {
    this.#buffer += text;
    const events: ToolEvent[] = [];
    while (this.#advance(events, false));
    return joined(events);
  }

  /** The answer's end: gives back what was held. */
  finish(): ToolEvent[] {
    const events: ToolEvent[] = [];
    while (this.#advance(events, true));
    if (this.#state === "header" && !this.#wholeCall(this.#buffer, events)) {
      this.#text(this.#call + this.#buffer, events);
    } else if (this.#state === "text") this.#text(this.#buffer, events);
    this.#buffer = "";
    return joined(events);
  }

  /** One step; false when more text is needed. */
  #advance(events: ToolEvent[], last: boolean): boolean {
    switch (this.#state) {
      case "text":
        return this.#readText(events, last);
      case "header":
        return this.#readHeader(events);
      case "arguments":
        return this.#readArguments(events);
      case "end":
        return this.#readEnd();
    }
  }

  #readText(events: ToolEvent[], last: boolean): boolean {
    if (this.#tags === undefined) return this.#readBare(events);
    const { open } = this.#tags;
    const at = this.#buffer.indexOf(open);
    if (at >= 0) {
      this.#text(this.#buffer.slice(0, at).trimEnd(), events);
      this.#call = open;
      this.#buffer = this.#buffer.slice(at + open.length);
      this.#state = "header";
      return true;
    }
    if (last) return false;
    const held = heldLength(this.#buffer, open);
    this.#text(this.#buffer.slice(0, this.#buffer.length - held), events);
    this.#buffer = this.#buffer.slice(this.#buffer.length - held);
    return false;
  }

  /** Without tags, only the first thing in the answer can be a call, or what follows a call. */
  #readBare(events: ToolEvent[]): boolean {
    const start = this.#buffer.trimStart();
    if (start === "") return false;
    if (this.#sawText || !start.startsWith("{")) {
      this.#text(this.#buffer, events);
      this.#buffer = "";
      return false;
    }
    this.#call = "";
    this.#state = "header";
    return true;
  }

  #readHeader(events: ToolEvent[]): boolean {
    const match = header.exec(this.#buffer);
    if (match !== null) {
      const name = [...this.#names].find((known) => JSON.stringify(known) === match[1]);
      if (name !== undefined) {
        this.#begin(name, events);
        this.#buffer = this.#buffer.slice(match[0].length);
        this.#state = "arguments";
        return true;
      }
    }
    if (this.#tags === undefined) {
      if (match === null && this.#buffer.length < longestHeader) return false;
      this.#text(this.#buffer, events);
      this.#buffer = "";
      this.#state = "text";
      return false;
    }
    const end = this.#buffer.indexOf(this.#tags.close);
    if (end < 0) return false;
    const whole = this.#buffer.slice(0, end);
    this.#buffer = this.#buffer.slice(end + this.#tags.close.length);
    if (!this.#wholeCall(whole, events)) {
      this.#text(this.#tags.open + whole + this.#tags.close, events);
    }
    this.#state = "text";
    return true;
  }

  #readArguments(events: ToolEvent[]): boolean {
    for (let i = 0; i < this.#buffer.length; i++) {
      if (!this.#ends(this.#buffer[i]!)) continue;
      this.#piece(this.#buffer.slice(0, i + 1), events);
      this.#buffer = this.#buffer.slice(i + 1);
      this.#state = "end";
      return true;
    }
    this.#piece(this.#buffer, events);
    this.#buffer = "";
    return false;
  }

  /** Whether this character closes the arguments' object. */
  #ends(character: string): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (character === "\\") this.#escaped = true;
      else if (character === '"') this.#inString = false;
      return false;
    }
    if (character === '"') this.#inString = true;
    else if (character === "{" || character === "[") this.#depth++;
    else if (character === "}" || character === "]") return --this.#depth === 0;
    return false;
  }

  /** Skips the call's end: its brace, and its tag where there is one. */
  #readEnd(): boolean {
    const end = this.#tags?.close ?? "}";
    const at = this.#buffer.indexOf(end);
    if (at < 0) return false;
    this.#buffer = this.#buffer.slice(at + end.length);
    this.#state = "text";
    return true;
  }

  /** A call whose members come in another order, or with others beside. */
  #wholeCall(text: string, events: ToolEvent[]): boolean {
    let call: unknown;
    try {
      call = JSON.parse(text);
    } catch {
      return false;
    }
    if (typeof call !== "object" || call === null) return false;
    const { name, arguments: own, parameters } = call as Record<string, unknown>;
    if (typeof name !== "string" || !this.#names.has(name)) return false;
    this.#begin(name, events);
    this.#piece(JSON.stringify(own ?? parameters ?? {}), events);
    return true;
  }

  #begin(name: string, events: ToolEvent[]): void {
    this.#index++;
    this.#afterCall = true;
    this.#depth = 0;
    this.#inString = false;
    events.push({ type: "call", index: this.#index, name });
  }

  #piece(text: string, events: ToolEvent[]): void {
    if (text !== "") events.push({ type: "arguments", index: this.#index, text });
  }

  /** White space around calls is no content. */
  #text(text: string, events: ToolEvent[]): void {
    const content = this.#afterCall ? text.trimStart() : text;
    if (content === "") return;
    this.#afterCall = false;
    this.#sawText = true;
    events.push({ type: "text", text: content });
  }
}

/** White space and the beginning of `open` at a text's end: a call may follow. */
function heldLength(text: string, open: string): number {
  let length = Math.min(open.length - 1, text.length);
  while (length > 0 && !text.endsWith(open.slice(0, length))) length--;
  let start = text.length - length;
  while (start > 0 && /\s/.test(text[start - 1]!)) start--;
  return text.length - start;
}

/** Pieces of the same kind that came at once, as one. */
function joined(events: readonly ToolEvent[]): ToolEvent[] {
  const result: ToolEvent[] = [];
  for (const event of events) {
    const last = result.at(-1);
    if (last && last.type === event.type && last.type !== "call" && event.type !== "call") {
      result[result.length - 1] = { ...last, text: last.text + event.text };
    } else result.push(event);
  }
  return result;
}
