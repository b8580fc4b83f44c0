// Embeddings in each dialect: /v1/embeddings, llama.cpp's /embedding, Ollama's /api/embed.
import { Type } from "@sinclair/typebox";
import type { Pooling } from "../../../core/index.ts";
import {
  base64,
  cut,
  embedAll,
  euclidean,
  normalize,
  poolings,
  readInputs,
  readPooling,
} from "../embedding.ts";
import { badField } from "../errors.ts";
import type { ServedModel } from "../model.ts";
import { promptSchema } from "../prompts.ts";
import { type Route, type RouteFactory, route } from "../route.ts";
import { cacheSalt } from "../schema.ts";
import { type Call, findModel } from "../state.ts";
import { named } from "./ollama-models.ts";

const optional = Type.Optional;

const commonFields = {
  model: optional(Type.String()),
  dimensions: optional(
    Type.Integer({ minimum: 1, description: "Keep the first so many, scaled anew." }),
  ),
  encoding_format: optional(Type.Union([Type.Literal("float"), Type.Literal("base64")])),
  pooling: optional(
    Type.Union(
      poolings.map((name) => Type.Literal(name)),
      { description: "How tokens become one vector; default: --pooling, the model's, or mean." },
    ),
  ),
  add_special_tokens: optional(Type.Boolean({ description: "Put BOS before text. Default true." })),
  cache_salt: optional(Type.String({ maxLength: 256 })),
};

const normField = optional(
  Type.Integer({
    minimum: -1,
    maximum: 64,
    description: "-1: none, 0: largest is 32760, 1: sum, 2: Euclidean (default), p: p-norm.",
  }),
);

interface Body {
  model?: string;
  input?: unknown;
  content?: unknown;
  dimensions?: number;
  encoding_format?: "float" | "base64";
  pooling?: Pooling;
  embd_normalize?: number;
  add_special_tokens?: boolean;
  cache_salt?: string;
}

export const embeddingRoutes: RouteFactory = (): Route[] => [
  route({
    method: "POST",
    paths: ["/v1/embeddings"],
    tag: "OpenAI",
    summary: "Texts as vectors",
    body: Type.Object({ ...commonFields, input: promptSchema, embd_normalize: normField }),
    handle: (call) => openAi(call as unknown as Call<Body>),
  }),
  route({
    method: "POST",
    paths: ["/embedding", "/embeddings"],
    tag: "llama.cpp",
    summary: "Texts as vectors, or with pooling none every token",
    body: Type.Object({
      ...commonFields,
      input: optional(promptSchema),
      content: optional(promptSchema),
      embd_normalize: normField,
    }),
    handle: (call) => llama(call as unknown as Call<Body>),
  }),
  ...ollamaEmbedRoutes(),
];

/** What a request asks for, computed and scaled. */
async function embed(call: Call<unknown>, model: ServedModel, body: Body) {
  const { server, abort } = call;
  const pooling = readPooling(server, model, body.pooling);
  const param = body.input === undefined ? "content" : "input";
  const inputs = await readInputs(model, body[param], {
    param,
    addSpecial: body.add_special_tokens,
  });
  // Too many dimensions are refused before the work.
  cut(new Float32Array(model.client.info.hidden), body.dimensions);
  const salt = cacheSalt(server, body.cache_salt);
  const vectors = await embedAll(model, inputs, { pooling, cacheSalt: salt, signal: abort.signal });
  const tokens = inputs.reduce((sum, { length }) => sum + length, 0);
  call.note({ prompt_tokens: tokens, inputs: inputs.length });
  // llama.cpp leaves the vectors of single tokens as they are.
  const norm = body.embd_normalize ?? (pooling === "none" ? -1 : euclidean);
  const scaled = vectors.map((list) => list.map((v) => normalize(cut(v, body.dimensions), norm)));
  return { tokens, vectors: scaled };
}

/** One vector for each input. Throws 400 where the pooling gives more. */
async function embedOne(call: Call<unknown>, model: ServedModel, body: Body) {
  if (readPooling(call.server, model, body.pooling) === "none") {
    const message = "Pooling 'none' has no one vector; use /embeddings or another pooling.";
    throw badField("pooling", message);
  }
  const { tokens, vectors } = await embed(call, model, body);
  return { tokens, vectors: vectors.map(([vector]) => vector ?? new Float32Array()) };
}

async function openAi(call: Call<Body>): Promise<Response> {
  const { body, server } = call;
  const model = findModel(server, body.model);
  const { tokens, vectors } = await embedOne(call, model, body);
  const encode = encoder(body);
  return Response.json({
    object: "list",
    model: model.id,
    data: vectors.map((vector, index) => ({
      object: "embedding",
      index,
      embedding: encode(vector),
    })),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  });
}

async function llama(call: Call<Body>): Promise<Response> {
  const { body, server } = call;
  if (body.input === undefined && body.content === undefined) {
    throw badField("input", "Field 'input' or 'content' is required: text, token ids, or a list.");
  }
  const { vectors } = await embed(call, findModel(server, body.model), body);
  const encode = encoder(body);
  return Response.json(vectors.map((list, index) => ({ index, embedding: list.map(encode) })));
}

type Encode = (vector: Float32Array) => string | number[];
const encoder = (body: Body): Encode => (body.encoding_format === "base64" ? base64 : plain);
const plain = (vector: Float32Array): number[] => [...vector];

function ollamaEmbedRoutes(): Route[] {
  const shared = { method: "POST", tag: "Ollama", errorShape: "ollama" } as const;
  return [
    route({
      ...shared,
      paths: ["/api/embed"],
      summary: "Texts as vectors",
      body: Type.Object({
        model: Type.String(),
        input: Type.Union([Type.String(), Type.Array(Type.String())]),
        dimensions: commonFields.dimensions,
      }),
      async handle(call) {
        const started = performance.now();
        const model = named(call.server, call.body.model);
        const { tokens, vectors } = await embedOne(call, model, call.body);
        return Response.json({
          model: model.id,
          embeddings: vectors.map(plain),
          total_duration: Math.round((performance.now() - started) * 1e6),
          load_duration: 0,
          prompt_eval_count: tokens,
        });
      },
    }),
    route({
      ...shared,
      paths: ["/api/embeddings"],
      summary: "A text as a vector (older)",
      body: Type.Object({ model: Type.String(), prompt: Type.String() }),
      async handle(call) {
        const { model, prompt: input } = call.body;
        const { vectors } = await embedOne(call, named(call.server, model), { input });
        return Response.json({ embedding: plain(vectors[0] ?? new Float32Array()) });
      },
    }),
  ];
}
