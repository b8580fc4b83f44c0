// Ollama's routes about models: tags, show, ps, version.
import { Type } from "@sinclair/typebox";
import { badField, HttpError } from "../errors.ts";
import type { ServedModel } from "../model.ts";
import { bare, type Route, route } from "../route.ts";
import type { ServerState } from "../state.ts";
import { version } from "../version.ts";

const optional = Type.Optional;
const errorShape = "ollama";

/** A model by Ollama's name ("tern" or "tern:latest"). Throws 404 for an unknown one. */
export function named(server: ServerState, name: string): ServedModel {
  const plain = name.replace(/:latest$/, "");
  for (const slot of server.slots) {
    if (!slot.ready && slot.id === plain) return slot.model;
    if (slot.ready && slot.model.aliases.includes(plain)) return slot.model;
  }
  const [only] = server.slots;
  if (!only?.ready) return (only as NonNullable<typeof only>).model;
  throw new HttpError("not_found_error", `model '${name}' not found`, { param: "model" });
}

export const describingRoutes: Route[] = [
  bare({
    method: "GET",
    paths: ["/api/version"],
    tag: "Ollama",
    summary: "The server's version",
    public: true,
    handle: () => Response.json({ version }),
  }),
  bare({
    method: "GET",
    paths: ["/api/tags"],
    tag: "Ollama",
    summary: "The models that are served",
    errorShape,
    handle: ({ server }) => Response.json({ models: ready(server).map(tag) }),
  }),
  bare({
    method: "GET",
    paths: ["/api/ps"],
    tag: "Ollama",
    summary: "The models that are loaded",
    errorShape,
    handle({ server }) {
      const models = ready(server).map((model) => ({
        ...tag(model),
        expires_at: "9999-12-31T23:59:59Z",
        size_vram: 0,
        context_length: model.client.info.contextLength,
      }));
      return Response.json({ models });
    },
  }),
  route({
    method: "POST",
    paths: ["/api/show"],
    tag: "Ollama",
    summary: "One model",
    errorShape,
    body: Type.Object({ model: optional(Type.String()), name: optional(Type.String()) }),
    handle({ server, body }) {
      const name = body.model ?? body.name;
      if (name === undefined) throw badField("model", "Field 'model' is required: a string.");
      return Response.json(show(named(server, name)));
    },
  }),
];

function ready(server: ServerState): ServedModel[] {
  return server.slots.filter((slot) => slot.ready).map((slot) => slot.model);
}

function details({ client: { info } }: ServedModel): object {
  return {
    parent_model: "",
    format: info.path.endsWith(".gguf") ? "gguf" : "safetensors",
    family: info.architecture,
    families: [info.architecture],
    parameter_size: `${(info.parameters / 1e9).toPrecision(3)}B`,
    quantization_level: info.quantization.toUpperCase(),
  };
}

function tag(model: ServedModel): object {
  return {
    name: `${model.id}:latest`,
    model: `${model.id}:latest`,
    modified_at: new Date(model.created * 1000).toISOString(),
    size: model.client.info.bytes,
    digest: "",
    details: details(model),
  };
}

function show(model: ServedModel): object {
  const { info } = model.client;
  return {
    modelfile: `FROM ${info.path}\n`,
    parameters: "",
    template: model.template.source,
    details: details(model),
    model_info: {
      "general.architecture": info.architecture,
      "general.parameter_count": info.parameters,
      [`${info.architecture}.context_length`]: info.trainedContextLength,
      [`${info.architecture}.block_count`]: info.layers,
      [`${info.architecture}.embedding_length`]: info.hidden,
      [`${info.architecture}.attention.head_count`]: info.heads,
      [`${info.architecture}.attention.head_count_kv`]: info.kvHeads,
    },
    capabilities: ["completion", ...(model.template.supportsTools ? ["tools"] : [])],
  };
}
