// Parts what a model thinks before it answers (<think> ... </think>) from the answer, as text comes.

const open = "<think>";
const close = "</think>";

export interface Parted {
  readonly reasoning: string;
  readonly text: string;
}

/** Whether a template teaches its model to think aloud. */
export function thinks(template: string): boolean {
  return template.includes(close);
}

/** Reads one answer. Only what stands at its beginning is thinking; a tag further on is text. */
export class ReasoningParser {
  #state: "start" | "thinking" | "between" | "text";
  #held = "";
  /** Nothing was thought yet: space at the beginning is none of it. */
  #fresh = true;

  /** @param prompt the rendered prompt: some templates open the tag themselves */
  constructor(prompt: string) {
    this.#state = prompt.trimEnd().endsWith(open) ? "thinking" : "start";
  }

  push(piece: string): Parted {
    this.#held += piece;
    let [reasoning, text] = ["", ""];
    for (;;) {
      const before = this.#state;
      if (this.#state === "start") this.#start();
      else if (this.#state === "thinking") reasoning += this.#thinking();
      else if (this.#state === "between") this.#between();
      else {
        text += this.#held;
        this.#held = "";
      }
      if (this.#state === before) return { reasoning, text };
    }
  }

  /** The end of the answer: what was held back. */
  finish(): Parted {
    const rest = this.#held;
    this.#held = "";
    if (this.#state === "thinking") return { reasoning: rest.trimEnd(), text: "" };
    return { reasoning: "", text: this.#state === "between" ? "" : rest };
  }

  /** Waits until it is clear whether the answer begins with the tag. */
  #start(): void {
    const trimmed = this.#held.trimStart();
    if (trimmed.startsWith(open)) {
      this.#held = trimmed.slice(open.length);
      this.#state = "thinking";
    } else if (!open.startsWith(trimmed)) this.#state = "text";
  }

  /** What is surely thinking: a tail that may be the closing tag, or space before it, is held. */
  #thinking(): string {
    if (this.#fresh) this.#held = this.#held.trimStart();
    this.#fresh &&= this.#held === "";
    const end = this.#held.indexOf(close);
    if (end >= 0) {
      const thought = this.#held.slice(0, end).trimEnd();
      this.#held = this.#held.slice(end + close.length);
      this.#state = "between";
      return thought;
    }
    let keep = 0;
    for (let length = 1; length < close.length; length++) {
      if (this.#held.endsWith(close.slice(0, length))) keep = length;
    }
    const sure = this.#held.slice(0, this.#held.length - keep).trimEnd();
    this.#held = this.#held.slice(sure.length);
    return sure;
  }

  /** Space between thinking and answer belongs to neither. */
  #between(): void {
    this.#held = this.#held.trimStart();
    if (this.#held !== "") this.#state = "text";
  }
}
