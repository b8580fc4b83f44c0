// Chat templates: messages to prompt text by the Jinja template that a model file carries.
import { Environment, Interpreter, Template } from "@huggingface/jinja";
import { WrinkleFreeError } from "../errors.ts";
import type { ChatMessage, Tool } from "./types.ts";

/** Templates come from files nobody checked: bounds on their text, their work and their output. */
const limits = {
  source: 128 * 1024,
  steps: 200_000,
  stepsPerMessage: 2_000,
  text: 16 * 1024 * 1024,
  range: 10_000,
  /** Of expressions, blocks and macros in each other: each level makes the look-up of names longer. */
  depth: 400,
};

export interface ChatTemplateOptions {
  /** For error messages. Default "the model's chat template". */
  readonly name?: string;
  /** Texts of the special tokens that templates use as `bos_token` and `eos_token`. */
  readonly bosToken?: string;
  readonly eosToken?: string;
}

export interface RenderOptions {
  /** End with the beginning of an assistant's turn. Default true. */
  readonly addGenerationPrompt?: boolean;
  /** End within the last message, so that the model goes on with it. Default false. */
  readonly continueFinalMessage?: boolean;
  readonly tools?: readonly Tool[];
  /** More variables of the template (`chat_template_kwargs`). */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** A parsed template. The constructor throws `bad_file` for one that is too long or damaged. */
export class ChatTemplate {
  readonly source: string;
  readonly #name: string;
  readonly #options: ChatTemplateOptions;
  readonly #template: Template;

  constructor(source: string, options: ChatTemplateOptions = {}) {
    this.source = source;
    this.#options = options;
    this.#name = options.name ?? "the model's chat template";
    if (source.length > limits.source) {
      throw new WrinkleFreeError(
        "bad_file",
        `${this.#name} has ${source.length} characters; at most ${limits.source} are read`,
      );
    }
    try {
      this.#template = new Template(source);
    } catch (cause) {
      throw new WrinkleFreeError("bad_file", `${this.#name} is no valid template: ${text(cause)}`, {
        cause,
        hint: "give another one with --chat-template",
      });
    }
  }

  /** Whether the template itself tells the model of its tools. */
  get supportsTools(): boolean {
    return /\btools\b/.test(this.source);
  }

  /**
   * The prompt text of a chat. Throws `bad_request` where the template refuses the messages, where
   * they hold something that is no text, or where rendering passes its bounds.
   */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    const plain = messages.map(plainMessage);
    const last = options.continueFinalMessage ? plain.at(-1) : undefined;
    const steps = limits.steps + messages.length * limits.stepsPerMessage;
    const rendered = this.#run(steps, {
      ...options.variables,
      messages: plain,
      add_generation_prompt: last === undefined && (options.addGenerationPrompt ?? true),
      bos_token: this.#options.bosToken ?? "",
      eos_token: this.#options.eosToken ?? "",
      ...(options.tools === undefined ? {} : { tools: options.tools }),
    });
    return last === undefined ? rendered : this.#upTo(rendered, String(last.content ?? ""));
  }

  #run(steps: number, variables: Record<string, unknown>): string {
    try {
      const environment = new Environment();
      for (const [name, value] of Object.entries(globals)) environment.set(name, value);
      for (const [name, value] of Object.entries(variables)) environment.set(name, value);
      return String(new BoundedInterpreter(environment, steps).run(this.#template.parsed).value);
    } catch (cause) {
      throw new WrinkleFreeError(
        "bad_request",
        `${this.#name} cannot be rendered: ${text(cause)}`,
        { field: "messages", cause },
      );
    }
  }

  /** Cuts what the template puts after the last message's content. */
  #upTo(rendered: string, content: string): string {
    for (const candidate of [content, content.trimEnd(), content.trim()]) {
      const at = rendered.lastIndexOf(candidate);
      if (at >= 0 && candidate.length > 0) return rendered.slice(0, at + candidate.length);
    }
    throw new WrinkleFreeError(
      "bad_request",
      `the last message does not appear in what ${this.#name} makes of it`,
      { field: "continue_final_message" },
    );
  }
}

/** The library's node of a loop, which it does not export; `lhs` is what a filtered one runs over. */
interface Loop {
  readonly type: string;
  readonly iterable: { readonly type: string; readonly lhs: object };
}

class BoundedInterpreter extends Interpreter {
  #steps: number;
  #depth = 0;
  /** What loops run over: the rounds of one with an empty body evaluate nothing. */
  readonly #iterables = new WeakSet<object>();

  constructor(environment: Environment, steps: number) {
    super(environment);
    this.#steps = steps;
  }

  override evaluate(...args: Parameters<Interpreter["evaluate"]>) {
    if (this.#steps-- <= 0) throw new Error("it does too much work");
    const statement = args[0] as Loop | undefined;
    if (statement?.type === "For") {
      const { iterable } = statement;
      this.#iterables.add(iterable.type === "SelectExpression" ? iterable.lhs : iterable);
    }
    const value = this.#deeper(args);
    this.#steps -= size(value.value);
    if (statement && this.#iterables.has(statement)) this.#steps -= rounds(value.value);
    if (typeof value.value === "string" && value.value.length > limits.text) {
      throw new Error("its text is too long");
    }
    return value;
  }

  #deeper(args: Parameters<Interpreter["evaluate"]>) {
    if (this.#depth >= limits.depth) throw new Error("it is nested too deep");
    this.#depth++;
    try {
      return super.evaluate(...args);
    } finally {
      this.#depth--;
    }
  }
}

/** Steps that making or walking a value counts for: a few of them must not hide the work of many. */
function size(value: unknown): number {
  if (typeof value === "string") return value.length >> 10;
  return Array.isArray(value) ? value.length >> 6 : 0;
}

function rounds(value: unknown): number {
  if (value instanceof Map) return value.size;
  return Array.isArray(value) ? value.length : 0;
}

const globals: Readonly<Record<string, unknown>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  raise_exception(message: unknown) {
    throw new Error(String(message));
  },
  range,
  strftime_now: (format: unknown) => strftime(String(format), new Date()),
};

function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  if (step === 0) throw new Error("range() with step 0");
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (!(length <= limits.range)) throw new Error(`range() of ${length} numbers`);
  return Array.from({ length }, (_, i) => start + i * step);
}

/** The date formats that templates use, in local time and English; others are left as they are. */
export function strftime(format: string, date: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const month = date.toLocaleString("en-US", { month: "long" });
  const weekday = date.toLocaleString("en-US", { weekday: "long" });
  const parts: Record<string, string> = {
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    e: String(date.getDate()).padStart(2, " "),
    B: month,
    b: month.slice(0, 3),
    A: weekday,
    a: weekday.slice(0, 3),
    H: two(date.getHours()),
    I: two(((date.getHours() + 11) % 12) + 1),
    p: date.getHours() < 12 ? "AM" : "PM",
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    "%": "%",
  };
  return format.replace(/%-?([a-zA-Z%])/g, (whole, letter: string) => {
    const part = parts[letter];
    if (part === undefined) return whole;
    return whole[1] === "-" ? part.replace(/^[0 ](?=.)/, "") : part;
  });
}

/** The message as templates expect it: content as one string, call arguments as an object. */
function plainMessage(message: ChatMessage, index: number): Record<string, unknown> {
  const plain: Record<string, unknown> = { ...message, content: contentText(message, index) };
  if (message.tool_calls) {
    plain.tool_calls = message.tool_calls.map((call) => ({
      ...call,
      function: { ...call.function, arguments: parsed(call.function.arguments) },
    }));
  } else {
    delete plain.tool_calls;
  }
  for (const [key, value] of Object.entries(plain)) if (value === null) delete plain[key];
  return plain;
}

function contentText({ content }: ChatMessage, index: number): string {
  if (content === undefined || content === null) return "";
  if (typeof content === "string") return content;
  return content.map((part) => partText(part, index)).join("\n");
}

function partText(part: { type: string; text?: string }, index: number): string {
  if (typeof part.text === "string" && /^(input_|output_)?text$/.test(part.type)) return part.text;
  throw new WrinkleFreeError(
    "bad_request",
    `messages[${index}].content: a part of type "${part.type}"; this model reads text only`,
    { field: `messages[${index}].content` },
  );
}

function parsed(json: unknown): unknown {
  if (typeof json !== "string") return json;
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}

function text(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
