// Text and tokens without generating: /tokenize, /detokenize, /apply-template, /tokenizer_info.
import { Type } from "@sinclair/typebox";
import type { Tokenizer } from "../../../core/index.ts";
import { type ChatBody, chatFields, renderChat } from "../chat.ts";
import { badField } from "../errors.ts";
import type { ServedModel } from "../model.ts";
import { checkToken, encodeRendered } from "../prompts.ts";
import { bare, type Route, type RouteFactory, route } from "../route.ts";
import { type Call, findModel } from "../state.ts";
import { pieceText } from "../tokens.ts";

const optional = Type.Optional;
const { messages, ...otherChatFields } = chatFields;

const tokenizeFields = {
  model: optional(Type.String()),
  content: optional(Type.String({ description: "Text (llama.cpp's field)." })),
  prompt: optional(Type.String({ description: "Text (vLLM's field)." })),
  messages: optional(messages),
  add_special: optional(Type.Boolean({ description: "Put BOS in front. Default false." })),
  add_special_tokens: optional(Type.Boolean({ description: "The same for prompt. Default true." })),
  parse_special: optional(Type.Boolean({ description: "Read special tokens. Default true." })),
  with_pieces: optional(Type.Boolean({ description: "Return ids with their text." })),
  return_token_strs: optional(Type.Boolean({ description: "Return the tokens' text too." })),
};

export const textRoutes: RouteFactory = (): Route[] => [
  route({
    method: "POST",
    paths: ["/tokenize", "/v1/tokenize"],
    tag: "llama.cpp",
    summary: "Text to token ids",
    body: Type.Object({ ...tokenizeFields, ...otherChatFields }),
    handle: (call) => tokenize(call as never),
  }),
  route({
    method: "POST",
    paths: ["/detokenize", "/v1/detokenize"],
    tag: "llama.cpp",
    summary: "Token ids to text",
    body: Type.Object({
      model: optional(Type.String()),
      tokens: Type.Array(Type.Integer(), { description: "Token ids." }),
    }),
    handle({ server, body }) {
      const { tokenizer } = findModel(server, body.model);
      const ids = body.tokens.map((token, i) => checkToken(tokenizer, token, `tokens[${i}]`));
      const content = tokenizer.decode(ids, { special: true });
      return Response.json({ content, prompt: content });
    },
  }),
  route({
    method: "POST",
    paths: ["/apply-template"],
    tag: "llama.cpp",
    summary: "A conversation as the model's prompt text",
    body: Type.Object({ model: optional(Type.String()), ...chatFields }),
    handle({ server, body }) {
      const model = findModel(server, body.model);
      return Response.json({ prompt: renderChat(model, body as ChatBody) });
    },
  }),
  bare({
    method: "GET",
    paths: ["/tokenizer_info"],
    tag: "vLLM",
    summary: "Special tokens and chat template",
    handle({ server }) {
      const { tokenizer, template, endTokens, client } = findModel(server);
      const text = (id: number | undefined): string | null =>
        id === undefined ? null : pieceText(tokenizer, id);
      return Response.json({
        tokenizer_class: "PreTrainedTokenizerFast",
        bos_token: text(tokenizer.bos),
        eos_token: text(endTokens[0]),
        pad_token: null,
        add_bos_token: tokenizer.addBos,
        chat_template: template.source,
        model_max_length: client.info.contextLength,
        vocab_size: tokenizer.vocabularySize,
      });
    },
  }),
];

interface TokenizeBody extends Partial<ChatBody> {
  model?: string;
  content?: string;
  prompt?: string;
  add_special?: boolean;
  add_special_tokens?: boolean;
  parse_special?: boolean;
  with_pieces?: boolean;
  return_token_strs?: boolean;
}

function tokenize({ server, body }: Call<TokenizeBody>): Response {
  const model = findModel(server, body.model);
  const { tokenizer } = model;
  const ids = tokenIds(body, model, () => renderChat(model, body as ChatBody));
  return Response.json({
    tokens: body.with_pieces ? ids.map((id) => ({ id, piece: piece(tokenizer, id) })) : ids,
    count: ids.length,
    max_model_len: model.client.info.contextLength,
    ...(body.return_token_strs && { token_strs: ids.map((id) => pieceText(tokenizer, id)) }),
  });
}

/** llama.cpp's `content` adds no BOS unless asked, vLLM's `prompt` does. */
function tokenIds(body: TokenizeBody, model: ServedModel, render: () => string): number[] {
  const { tokenizer } = model;
  const given = [body.content, body.prompt, body.messages].filter((v) => v !== undefined).length;
  if (given > 1) throw badField("content", "Give one of 'content', 'prompt' and 'messages'.");
  if (body.messages) return encodeRendered(model, render());
  const { parse_special: parseSpecial = true } = body;
  if (body.prompt !== undefined) {
    const addSpecial = body.add_special_tokens ?? body.add_special ?? true;
    return tokenizer.encode(body.prompt, { addSpecial, parseSpecial });
  }
  const addSpecial = body.add_special ?? body.add_special_tokens ?? false;
  return tokenizer.encode(body.content ?? "", { addSpecial, parseSpecial });
}

/** A token's text, or its bytes where they are not UTF-8 on their own. */
function piece(tokenizer: Tokenizer, token: number): string | number[] {
  const bytes = tokenizer.bytes(token);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return [...bytes];
  }
}
