// The input of /v1/responses as a conversation.
import type { ChatMessage, Tool, ToolChoice } from "../../core/index.ts";
import { badField } from "./errors.ts";

export interface ReadInput {
  readonly messages: ChatMessage[];
  readonly tools?: Tool[];
  readonly toolChoice?: ToolChoice;
  readonly parallel?: boolean;
}

interface InputTool {
  readonly type: string;
  readonly name?: string;
  readonly description?: string | null;
  readonly parameters?: Record<string, unknown> | null;
  readonly function?: unknown;
}

export interface InputBody {
  readonly input: string | readonly Readonly<Record<string, unknown>>[];
  readonly instructions?: string;
  readonly tools?: readonly InputTool[];
  readonly tool_choice?: string | { readonly type: string; readonly name?: string };
  readonly parallel_tool_calls?: boolean;
}

/** Messages and tools of a body. Throws 400 naming the item that does not fit. */
export function readInput(body: InputBody): ReadInput {
  const first: ChatMessage[] = body.instructions
    ? [{ role: "system", content: body.instructions }]
    : [];
  const rest =
    typeof body.input === "string"
      ? [{ role: "user", content: body.input }]
      : body.input.map(readItem).reduce(joinCalls, []);
  if (rest.length === 0) throw badField("input", "Field 'input' is an empty list.");
  return {
    messages: [...first, ...rest],
    tools: body.tools?.map(readTool),
    toolChoice: readChoice(body.tool_choice),
    parallel: body.parallel_tool_calls,
  };
}

function readItem(item: Readonly<Record<string, unknown>>, index: number): ChatMessage {
  const param = `input[${index}]`;
  const { type = "message", role, content } = item;
  switch (type) {
    case "message":
      if (typeof role !== "string" || role === "") {
        throw badField(`${param}.role`, `Field '${param}.role' is required: a string.`);
      }
      return { role, content: readContent(content, `${param}.content`) };
    case "function_call":
      return {
        role: "assistant",
        tool_calls: [
          {
            id: text(item.call_id, `${param}.call_id`),
            type: "function",
            function: {
              name: text(item.name, `${param}.name`),
              arguments: text(item.arguments, `${param}.arguments`),
            },
          },
        ],
      };
    case "function_call_output":
      return {
        role: "tool",
        tool_call_id: text(item.call_id, `${param}.call_id`),
        content: readContent(item.output, `${param}.output`),
      };
    case "reasoning":
      return { role: "assistant", content: "" };
    default:
      throw badField(`${param}.type`, `Items of type ${JSON.stringify(type)} are not supported.`);
  }
}

function readContent(content: unknown, param: string): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) {
    throw badField(param, `Field '${param}' must be a string or a list of text parts.`);
  }
  const parts = content.map((part: unknown, i) => {
    const { type, text } = (part ?? {}) as { type?: unknown; text?: unknown };
    if (typeof text === "string" && /^(input_|output_)?text$/.test(String(type))) return text;
    throw badField(`${param}[${i}]`, `This model reads text only, not ${JSON.stringify(type)}.`);
  });
  return parts.join("\n");
}

function text(value: unknown, param: string): string {
  if (typeof value === "string") return value;
  throw badField(param, `Field '${param}' is required: a string.`);
}

/** Calls that follow each other are one message with several calls. */
function joinCalls(messages: ChatMessage[], message: ChatMessage): ChatMessage[] {
  const last = messages.at(-1);
  if (last?.role === "assistant" && message.role === "assistant" && message.tool_calls) {
    const calls = [...(last.tool_calls ?? []), ...message.tool_calls];
    return [...messages.slice(0, -1), { ...last, tool_calls: calls }];
  }
  const silent = message.role === "assistant" && message.content === "" && !message.tool_calls;
  return silent ? messages : [...messages, message];
}

function readTool(tool: InputTool, index: number): Tool {
  const param = `tools[${index}]`;
  if (tool.type !== "function") {
    throw badField(`${param}.type`, `Only functions can be called, not '${tool.type}'.`);
  }
  if (tool.function) return { type: "function", function: tool.function as Tool["function"] };
  return {
    type: "function",
    function: {
      name: text(tool.name, `${param}.name`),
      ...(tool.description != null && { description: tool.description }),
      ...(tool.parameters != null && { parameters: tool.parameters }),
    },
  };
}

function readChoice(choice: InputBody["tool_choice"]): ToolChoice | undefined {
  if (choice === undefined) return undefined;
  if (choice === "auto" || choice === "none" || choice === "required") return choice;
  if (typeof choice === "object" && choice.type === "function" && choice.name !== undefined) {
    return { name: choice.name };
  }
  throw badField("tool_choice", "Field 'tool_choice' must be auto, none, required or a function.");
}
