// What is served and whether it is ready: /health, /v1/models, /props.

import { defaultSamplingOptions, type ExpertUse } from "../../../core/index.ts";
import { HttpError, shuttingDown } from "../errors.ts";
import type { ModelSlot, ServedModel } from "../model.ts";
import { bare, type Route, type RouteFactory } from "../route.ts";
import { findModel, type ServerState } from "../state.ts";
import { pieceText } from "../tokens.ts";
import { version } from "../version.ts";

export const modelRoutes: RouteFactory = (): Route[] => [
  bare({
    method: "GET",
    paths: ["/health", "/v1/health"],
    tag: "llama.cpp",
    summary: "200 when ready, 503 while the model loads",
    public: true,
    handle({ server }) {
      checkStaying(server);
      for (const { model } of server.slots) checkAvailable(model);
      return Response.json({ status: "ok" });
    },
  }),
  bare({
    method: "GET",
    paths: ["/health/live"],
    tag: "probes",
    summary: "200 while the process answers, whatever the model does",
    public: true,
    whileDraining: true,
    handle: () => Response.json({ status: "ok" }),
  }),
  bare({
    method: "GET",
    paths: ["/health/ready"],
    tag: "probes",
    summary: "200 when requests would run at once, 503 while loading, restarting or full",
    public: true,
    async handle({ server }) {
      checkStaying(server);
      for (const { model } of server.slots) {
        checkAvailable(model);
        const { queued } = await model.client.stats();
        if (queued < server.settings.parallel) continue;
        throw new HttpError("unavailable_error", `${queued} requests wait`, {
          headers: { "retry-after": "1" },
        });
      }
      return Response.json({ status: "ok" });
    },
  }),
  bare({
    method: "GET",
    paths: ["/v1/models", "/models"],
    tag: "OpenAI",
    summary: "The models that are served",
    public: true,
    handle({ server }) {
      return Response.json({
        object: "list",
        data: server.slots.map((slot) => describeModel(server, slot)),
      });
    },
  }),
  bare({
    method: "GET",
    paths: ["/v1/models/:id", "/models/:id"],
    tag: "OpenAI",
    summary: "One model",
    public: true,
    handle({ server, params }) {
      const id = decodeURIComponent(params.id ?? "");
      const slot = server.slots.find(
        (slot) => slot.id === id || (slot.ready && slot.model.aliases.includes(id)),
      );
      if (!slot) {
        throw new HttpError("not_found_error", `The model '${id}' does not exist.`, {
          param: "model",
        });
      }
      return Response.json(describeModel(server, slot));
    },
  }),
  bare({
    method: "GET",
    paths: ["/props", "/v1/props"],
    tag: "llama.cpp",
    summary: "Settings of the server and the model",
    async handle({ server, query }) {
      const model = findModel(server, query.get("model") ?? undefined);
      const { experts } = await model.client.stats();
      const mixture = experts.length > 0 ? expertProperties(experts) : {};
      return Response.json({ ...properties(server, model), ...mixture });
    },
  }),
];

/** Throws 503 once the server is about to end. */
function checkStaying({ activity }: ServerState): void {
  if (activity.leaving) throw shuttingDown();
}

/** Throws 503 while a lost engine is started again. */
function checkAvailable({ client }: ServedModel): void {
  if (client.available) return;
  throw new HttpError("unavailable_error", "The engine is starting again", {
    headers: { "retry-after": "1" },
  });
}

function describeModel(server: ServerState, slot: ModelSlot): object {
  const common = {
    id: slot.id,
    object: "model",
    owned_by: "wrinklefree",
    tags: server.settings.tags,
  };
  const seconds = Math.floor(server.started / 1000);
  if (!slot.ready) {
    const { progress } = slot;
    return { ...common, created: seconds, aliases: [], status: "loading", progress };
  }
  const { aliases, client, created } = slot.model;
  const { info } = client;
  return {
    ...common,
    created,
    aliases,
    root: slot.id,
    parent: null,
    max_model_len: info.contextLength,
    status: "loaded",
    meta: {
      n_vocab: info.vocabulary,
      n_ctx: info.contextLength,
      n_ctx_train: info.trainedContextLength,
      n_embd: info.hidden,
      n_layer: info.layers,
      n_head: info.heads,
      n_head_kv: info.kvHeads,
      n_expert: info.experts,
      n_params: info.parameters,
      size: info.bytes,
      ftype: info.quantization,
      architecture: info.architecture,
      isa: info.isa,
      layout: info.layout,
      threads: info.threads,
    },
  };
}

function expertProperties(layers: readonly ExpertUse[]): object {
  return {
    expert_tokens: layers.map(({ tokens }) => tokens),
    expert_balance: layers.map(({ balance }) => balance),
  };
}

function properties(server: ServerState, model: ServedModel): object {
  const { settings } = server;
  const { info } = model.client;
  const { tokenizer } = model;
  const text = (id: number | undefined): string =>
    id === undefined ? "" : pieceText(tokenizer, id);
  return {
    default_generation_settings: {
      n_ctx: info.contextLength,
      params: {
        ...defaultSamplingOptions(server.samplers),
        ...settings.sampling,
        seed: settings.defaultSeed ?? 4294967295,
        n_predict: settings.maxTokens ?? -1,
        max_tokens: settings.maxTokens ?? -1,
        stop: [],
        stream: true,
        n_probs: 0,
      },
    },
    samplers: server.samplers.map(({ name, options }) => ({ name, options })),
    total_slots: settings.parallel,
    model_alias: model.id,
    model_name: info.name,
    model_path: info.path,
    model_ftype: info.quantization,
    modalities: { vision: false, audio: false },
    chat_template: model.template.source,
    bos_token: text(tokenizer.bos),
    eos_token: text(model.endTokens[0]),
    build_info: `wrinklefree ${version}`,
    is_sleeping: false,
    endpoint_metrics: settings.metrics,
    endpoint_slots: settings.slots,
    endpoint_props: false,
  };
}
