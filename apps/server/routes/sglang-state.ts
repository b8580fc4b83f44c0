// SGLang's routes about the worker, as its router asks for them.
import { HttpError } from "../errors.ts";
import { completeAll } from "../generation.ts";
import { bare, type Route, type RouteFactory } from "../route.ts";
import { findModel, type ServerState } from "../state.ts";
import { version } from "../version.ts";

export const sglangStateRoutes: RouteFactory = (): Route[] => [
  bare({
    method: "GET",
    paths: ["/model_info", "/get_model_info"],
    tag: "SGLang",
    summary: "The model, in SGLang's terms",
    handle({ server }) {
      const { id, client } = findModel(server);
      return Response.json({
        model_path: client.info.path,
        served_model_name: id,
        tokenizer_path: client.info.path,
        is_generation: true,
        preferred_sampling_params: null,
        weight_version: "default",
        has_image_understanding: false,
        has_audio_understanding: false,
        model_type: client.info.architecture,
        architectures: [client.info.architecture],
      });
    },
  }),
  bare({
    method: "GET",
    paths: ["/server_info", "/get_server_info"],
    tag: "SGLang",
    summary: "Settings and state, in SGLang's terms",
    async handle({ server }) {
      const { id, client } = findModel(server);
      const stats = await client.stats();
      return Response.json({
        version,
        status: "ready",
        model_path: client.info.path,
        served_model_name: id,
        host: server.settings.host,
        context_length: client.info.contextLength,
        max_running_requests: server.settings.parallel,
        max_total_num_tokens: client.info.contextLength,
        tp_size: 1,
        dp_size: 1,
        disaggregation_mode: "null",
        internal_states: [{ running: stats.running, waiting: stats.queued }],
      });
    },
  }),
  bare({
    method: "GET",
    paths: ["/health_generate", "/ready"],
    tag: "SGLang",
    summary: "Generates one token: 200 when that works",
    public: true,
    async handle({ server, abort }) {
      const model = findModel(server);
      const prompt = [model.tokenizer.bos ?? model.endTokens[0] ?? 0];
      const sampling = { temperature: 0 };
      await completeAll(model, [{ prompt, maxTokens: 1, sampling }], abort.signal);
      return new Response(null, { status: 200 });
    },
  }),
  bare({
    method: "GET",
    paths: ["/get_load", "/v1/loads"],
    tag: "SGLang",
    summary: "Requests and tokens in work",
    async handle({ server }) {
      const { client } = findModel(server);
      const stats = await client.stats();
      const tokens = stats.sequences.reduce((sum, s) => sum + s.promptTokens + s.generated, 0);
      return Response.json([
        {
          dp_rank: 0,
          num_reqs: stats.running + stats.queued,
          num_waiting_reqs: stats.queued,
          num_tokens: tokens,
        },
      ]);
    },
  }),
  ...(["GET", "POST"] as const).map((method) =>
    bare({
      method,
      paths: ["/flush_cache"],
      tag: "SGLang",
      summary: "Forget cached prefixes",
      handle: ({ server }) => flush(server),
    }),
  ),
];

async function flush(server: ServerState): Promise<Response> {
  const { client } = findModel(server);
  const stats = await client.stats();
  if (stats.running + stats.queued > 0) {
    throw new HttpError(
      "invalid_request_error",
      `The cache cannot be flushed while ${stats.running + stats.queued} requests run.`,
    );
  }
  const pages = await client.clearCache();
  return new Response(`Cache flushed: ${pages} pages.\n`);
}
