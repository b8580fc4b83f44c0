// Conversations: the messages that the chat routes accept, and their rendering to a prompt.
import { Type } from "@sinclair/typebox";
import type { ChatMessage, Tool } from "../../core/index.ts";
import { badField } from "./errors.ts";
import type { ServedModel } from "./model.ts";

const optional = Type.Optional;
const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Optional(Type.Union([schema, Type.Null()]));

const part = Type.Object({ type: Type.String(), text: optional(Type.String()) });

const toolCall = Type.Object({
  id: optional(Type.String()),
  type: optional(Type.String()),
  function: Type.Object({ name: Type.String(), arguments: Type.String() }),
});

const message = Type.Object({
  role: Type.String({ minLength: 1, maxLength: 64 }),
  content: nullable(Type.Union([Type.String(), Type.Array(part)])),
  name: nullable(Type.String()),
  reasoning_content: nullable(Type.String()),
  tool_calls: nullable(Type.Array(toolCall)),
  tool_call_id: nullable(Type.String()),
});

export const toolSchema = Type.Object({
  type: Type.Literal("function"),
  function: Type.Object({
    name: Type.String({ minLength: 1, maxLength: 128 }),
    description: nullable(Type.String()),
    parameters: nullable(Type.Record(Type.String(), Type.Any())),
    strict: nullable(Type.Boolean()),
  }),
});

/** Fields that decide the prompt of a conversation. */
export const chatFields = {
  messages: Type.Array(message, { minItems: 1, description: "The conversation, oldest first." }),
  tools: optional(Type.Array(toolSchema, { description: "Functions that it may call." })),
  add_generation_prompt: optional(Type.Boolean({ description: "Default true." })),
  continue_final_message: optional(
    Type.Boolean({ description: "Continue the last message instead of answering it." }),
  ),
  chat_template_kwargs: optional(
    Type.Record(Type.String(), Type.Any(), { description: "More variables of the template." }),
  ),
};

export interface ChatBody {
  messages: ChatMessage[];
  tools?: Tool[];
  add_generation_prompt?: boolean;
  continue_final_message?: boolean;
  chat_template_kwargs?: Record<string, unknown>;
}

/** The conversation as the model's prompt text. Throws 400 naming the message that does not fit. */
export function renderChat(model: ServedModel, body: ChatBody): string {
  if (body.continue_final_message && body.add_generation_prompt) {
    throw badField(
      "continue_final_message",
      "Give either 'continue_final_message' or 'add_generation_prompt'.",
    );
  }
  return model.template.render(body.messages.map(checkMessage), {
    addGenerationPrompt: body.add_generation_prompt,
    continueFinalMessage: body.continue_final_message ?? isPrefill(body),
    ...(body.tools && body.tools.length > 0 && { tools: body.tools }),
    variables: body.chat_template_kwargs,
  });
}

/** llama.cpp's and Anthropic's manner: an assistant's message at the end is to be gone on with. */
function isPrefill(body: ChatBody): boolean {
  const [last, before] = body.messages.slice(-2).reverse();
  if (body.add_generation_prompt !== undefined || last?.role !== "assistant") return false;
  if (before?.role === "assistant") {
    throw badField("messages", "There are two assistant messages at the end; there may be one.");
  }
  return !last.tool_calls && textLength(last) > 0;
}

function textLength({ content }: ChatMessage): number {
  if (typeof content === "string") return content.trim().length;
  return (content ?? []).reduce((sum, part) => sum + (part.text?.trim().length ?? 0), 0);
}

function checkMessage(message: ChatMessage, index: number): ChatMessage {
  const param = `messages[${index}].content`;
  if (message.content == null && message.role !== "assistant") {
    throw badField(param, `Field '${param}' is required: a string or a list of text parts.`);
  }
  // OpenAI's newer name of the system role, which no template knows.
  return message.role === "developer" ? { ...message, role: "system" } : message;
}
