// Functions that a model may call: what it is told of them, what it is held to, what it said.
import type { ConstraintSource } from "../engine/protocol.ts";
import { WrinkleFreeError } from "../errors.ts";
import { ToolCallParser } from "./tool-parser.ts";
import type { ChatMessage, Tool } from "./types.ts";

export type ToolChoice = "auto" | "none" | "required" | { readonly name: string };

export interface ToolRequest {
  readonly tools: readonly Tool[];
  /** Default "auto". */
  readonly choice?: ToolChoice;
  /** Whether one answer may hold several calls. Default true. */
  readonly parallel?: boolean;
  /** Source of the model's chat template. */
  readonly template: string;
}

export interface ToolPlan {
  /** Whether the template itself is to be given the tools. */
  readonly templateShowsTools: boolean;
  /** What else the model must be told, as a part of the system message. */
  readonly instructions?: string;
  /** Holds the model to well-formed calls: from the first token, or once it begins a call. */
  readonly constraint?: ConstraintSource;
  /** Reads one answer; undefined where no call is expected. */
  readonly parser?: () => ToolCallParser;
}

const open = "<tool_call>";
const close = "</tool_call>";

/**
 * How tools are offered to a model. Calls are written `<tool_call>{"name": ..., "arguments":
 * ...}</tool_call>`, as Qwen's and Hermes' templates teach, or, where a template shows tools without
 * that tag, as the bare object (Llama 3.1). Throws `bad_request` for a choice that names no tool.
 */
export function planTools(request: ToolRequest): ToolPlan {
  const { tools, choice = "auto", parallel = true, template } = request;
  const shows = /\btools\b/.test(template);
  if (choice === "none" || tools.length === 0) return { templateShowsTools: false };
  const chosen = typeof choice === "object" ? named(tools, choice.name) : tools;
  const tagged = !shows || template.includes(open);
  const key =
    !tagged && /"parameters"\s*:\s*dictionary/.test(template) ? "parameters" : "arguments";
  const source = JSON.stringify({
    open: tagged ? open : "",
    close: tagged ? close : "",
    key,
    parallel: parallel && tagged,
    functions: chosen.map(({ function: { name, parameters, strict } }) => ({
      name,
      parameters: parameters ?? undefined,
      strict: strict ?? false,
    })),
  });
  const lazy = choice === "auto" ? { triggers: [open] } : undefined;
  const names = chosen.map((tool) => tool.function.name);
  return {
    templateShowsTools: shows,
    instructions: shows ? undefined : instructions(tools, choice, parallel),
    constraint: lazy && !tagged ? undefined : { kind: "tool_calls", source, lazy },
    parser: () => new ToolCallParser(names, tagged ? { open, close } : undefined),
  };
}

function named(tools: readonly Tool[], name: string): Tool[] {
  const tool = tools.find((t) => t.function.name === name);
  if (tool !== undefined) return [tool];
  throw new WrinkleFreeError("bad_request", `"tool_choice": there is no tool "${name}"`, {
    field: "tool_choice",
    hint: `tools: ${tools.map((t) => t.function.name).join(", ")}`,
  });
}

function instructions(tools: readonly Tool[], choice: ToolChoice, parallel: boolean): string {
  const lines = tools.map(({ function: { name, description, parameters } }) =>
    JSON.stringify({ name, description, parameters }),
  );
  const when =
    choice === "auto" ? "To call one, answer with nothing but" : "Answer with nothing but";
  return [
    "You can call these functions:",
    ...lines,
    `${when} ${open}{"name": "the function's name", "arguments": {...}}${close}`,
    ...(parallel ? ["Several calls may follow each other, each in its own tag."] : []),
    "The results come back in <tool_response> tags.",
  ].join("\n");
}

/**
 * Messages for a template that knows no tools: calls and their results as text, and the
 * instructions in the system message.
 */
export function messagesWithoutTools(
  messages: readonly ChatMessage[],
  instructions?: string,
): ChatMessage[] {
  const plain = messages.map(plainMessage);
  if (instructions === undefined) return plain;
  const [first, ...rest] = plain;
  if (first?.role !== "system") return [{ role: "system", content: instructions }, ...plain];
  return [{ ...first, content: `${textOf(first)}\n\n${instructions}` }, ...rest];
}

function plainMessage(message: ChatMessage): ChatMessage {
  if (message.role === "tool") {
    const content = `<tool_response>${textOf(message)}</tool_response>`;
    return { role: "user", content };
  }
  if (!message.tool_calls?.length) return message;
  const calls = message.tool_calls.map(({ function: { name, arguments: json } }) => {
    return `${open}{"name": ${JSON.stringify(name)}, "arguments": ${json || "{}"}}${close}`;
  });
  const text = textOf(message);
  const content = [...(text === "" ? [] : [text]), ...calls].join("\n");
  return { role: message.role, content };
}

function textOf({ content }: ChatMessage): string {
  if (typeof content === "string") return content;
  return (content ?? []).map((part) => part.text ?? "").join("\n");
}
