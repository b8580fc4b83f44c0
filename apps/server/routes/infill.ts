// llama.cpp's /infill: text for the gap between a prefix and a suffix, for models with tokens for it.
import { Type } from "@sinclair/typebox";
import type { Tokenizer } from "../../../core/index.ts";
import { HttpError } from "../errors.ts";
import type { ServedModel } from "../model.ts";
import { promptSchema, readTokens } from "../prompts.ts";
import { type Route, type RouteFactory, route } from "../route.ts";
import { bodySchema } from "../schema.ts";
import { type Call, findModel } from "../state.ts";
import { type CompletionBody, complete, completionFields } from "./llama.ts";

const optional = Type.Optional;

const ownFields = {
  ...completionFields,
  input_prefix: promptSchema,
  input_suffix: promptSchema,
  prompt: optional(Type.String({ description: "Begins the text of the gap." })),
  input_extra: optional(
    Type.Array(
      Type.Object({
        text: Type.String(),
        filename: optional(Type.String({ description: "Default 'tmp'." })),
      }),
      { description: "Other files, the most useful last." },
    ),
  ),
};

type Body = CompletionBody & {
  input_prefix: unknown;
  input_suffix: unknown;
  prompt?: string;
  input_extra?: { text: string; filename?: string }[];
};

export const infillRoutes: RouteFactory = (samplers): Route[] => [
  route({
    method: "POST",
    paths: ["/infill"],
    tag: "llama.cpp",
    summary: "Fill the gap between two texts",
    body: bodySchema(samplers, ownFields),
    handle(call) {
      const { server, body } = call as unknown as Call<Body>;
      const model = findModel(server, body.model);
      const prompt = infillPrompt(model, body);
      return complete(call as unknown as Call<Body>, model, { prompts: [prompt], list: false });
    },
  }),
];

/** What model families call their tokens for this. */
const names = {
  prefix: ["<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<PRE>", "▁<PRE>", "<｜fim▁begin｜>"],
  suffix: ["<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<SUF>", "▁<SUF>", "<｜fim▁hole｜>"],
  middle: ["<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<MID>", "▁<MID>", "<｜fim▁end｜>"],
  repository: ["<|repo_name|>", "<|fim_repo|>", "<fim-repo>", "<REPO>", "<reponame>"],
  file: ["<|file_sep|>"],
} as const;

type Tokens = Readonly<Record<"prefix" | "suffix" | "middle", number>>;

function find(tokenizer: Tokenizer, kind: keyof typeof names): number | undefined {
  for (const name of names[kind]) {
    const id = tokenizer.id(name);
    if (id !== undefined) return id;
  }
  return undefined;
}

/** Throws 501 saying which tokens the model lacks. */
function infillTokens(tokenizer: Tokenizer): Tokens {
  const kinds = ["prefix", "suffix", "middle"] as const;
  const ids = kinds.map((kind) => [kind, find(tokenizer, kind)] as const);
  const lacking = ids
    .filter(([, id]) => id === undefined)
    .map(([kind]) => ` ${kind} token is missing.`);
  if (lacking.length > 0) {
    const message = `Infill is not supported by this model:${lacking.join("")}`;
    throw new HttpError("not_supported_error", message);
  }
  return Object.fromEntries(ids) as Tokens;
}

/**
 * llama.cpp's order: the other files, then prefix token, prefix, begun text, suffix token, suffix,
 * middle token, with BOS first where the model has one. Nothing is cut.
 */
function infillPrompt(model: ServedModel, body: Body): number[] {
  const { tokenizer } = model;
  const { prefix, suffix, middle } = infillTokens(tokenizer);
  const part = (param: "input_prefix" | "prompt" | "input_suffix"): number[] =>
    readTokens(model, body[param] ?? "", param, { parseSpecial: false });
  const bos = tokenizer.addBos && tokenizer.bos !== undefined ? [tokenizer.bos] : [];
  return [
    ...bos,
    ...otherFiles(model, body.input_extra ?? []),
    prefix,
    ...part("input_prefix"),
    ...part("prompt"),
    suffix,
    ...part("input_suffix"),
    middle,
  ];
}

function otherFiles(model: ServedModel, files: NonNullable<Body["input_extra"]>): number[] {
  const { tokenizer } = model;
  const text = (value: string): number[] =>
    readTokens(model, value, "input_extra", { parseSpecial: false });
  const repository = find(tokenizer, "repository");
  const file = find(tokenizer, "file");
  const head = (name: string): number[] =>
    file === undefined ? text("\n\n--- snippet ---\n\n") : [file, ...text(`${name}\n`)];
  const chunks = files.flatMap((chunk) => [...head(chunk.filename ?? "tmp"), ...text(chunk.text)]);
  const project = repository === undefined ? [] : [repository, ...text("myproject\n")];
  return [...project, ...chunks, ...(file === undefined ? [] : head("filename"))];
}
