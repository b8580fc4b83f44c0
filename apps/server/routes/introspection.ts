// What the server does right now: /slots and /metrics.
import type { EngineStats } from "../../../core/index.ts";
import { HttpError } from "../errors.ts";
import type { Running } from "../observe.ts";
import { bare, type Route, type RouteFactory } from "../route.ts";
import { findModel, type ServerState } from "../state.ts";

export const introspectionRoutes: RouteFactory = (): Route[] => {
  const rates = new Rates();
  return [
    bare({
      method: "GET",
      paths: ["/slots"],
      tag: "llama.cpp",
      summary: "The generations that run now",
      handle({ server, query }) {
        if (!server.settings.slots) throw off("slots", "without --no-slots");
        const list = slots(server);
        if (query.get("fail_on_no_slot") && list.every((slot) => slot.is_processing)) {
          throw new HttpError("unavailable_error", "no slot available");
        }
        return Response.json(list);
      },
    }),
    bare({
      method: "GET",
      paths: ["/metrics"],
      tag: "llama.cpp",
      summary: "Prometheus metrics",
      async handle({ server }) {
        if (!server.settings.metrics) throw off("metrics", "with --metrics");
        const ready = server.slots.filter((slot) => slot.ready);
        const stats = await Promise.all(ready.map((slot) => slot.model.client.stats()));
        const experts = ready.map((slot, i) => expertMetrics(slot.id, stats[i]?.experts ?? []));
        const own = await server.observer.registry.metrics();
        const text = engineMetrics(sum(stats), rates) + experts.join("") + own;
        return new Response(text, {
          headers: {
            "content-type": "text/plain; version=0.0.4; charset=utf-8",
            "process-start-time-unix": String(Math.floor(server.started / 1000)),
          },
        });
      },
    }),
  ];
};

function off(what: string, how: string): HttpError {
  return new HttpError(
    "not_supported_error",
    `This server does not support ${what} endpoint. Start it ${how}.`,
  );
}

function slots(server: ServerState) {
  const { info } = findModel(server).client;
  const { running } = server.observer;
  const { parallel: length } = server.settings;
  return Array.from({ length }, (_, id) => slot(id, info.contextLength, running[id]));
}

function slot(id: number, contextLength: number, running: Running | undefined) {
  const idle = { id, n_ctx: contextLength, speculative: false, is_processing: false };
  if (!running) return idle;
  const { generation, processed, cached, decoded } = running;
  const { sampling, seed, maxTokens, stop = [] } = generation;
  return {
    ...idle,
    is_processing: true,
    id_task: running.task,
    n_prompt_tokens: generation.prompt.length,
    n_prompt_tokens_processed: Math.max(0, processed - cached),
    n_prompt_tokens_cache: cached,
    params: { ...sampling, seed: seed ?? 4294967295, n_predict: maxTokens ?? -1, stop },
    next_token: [
      {
        has_next_token: true,
        has_new_line: false,
        n_remain: maxTokens === undefined ? -1 : maxTokens - decoded,
        n_decoded: decoded,
      },
    ],
  };
}

type Totals = Omit<EngineStats, "sequences" | "experts">;

/** The numbers of several engines together. */
function sum(list: readonly EngineStats[]): Totals {
  const total = {
    queued: 0,
    running: 0,
    pagesTotal: 0,
    pagesFree: 0,
    pagesCached: 0,
    steps: 0,
    promptTokens: 0,
    cachedTokens: 0,
    generatedTokens: 0,
    preemptions: 0,
    promptMs: 0,
    generatedMs: 0,
  };
  for (const stats of list) {
    for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += stats[name];
  }
  return total;
}

/** Tokens a second since the last scrape, as llama.cpp reports them. */
class Rates {
  #before = { promptTokens: 0, promptMs: 0, generatedTokens: 0, generatedMs: 0 };

  next(stats: Totals): { prompt: number; generated: number } {
    const before = this.#before;
    const rate = (count: number, ms: number): number => (ms > 0 ? (1000 * count) / ms : 0);
    this.#before = { ...stats };
    return {
      prompt: rate(stats.promptTokens - before.promptTokens, stats.promptMs - before.promptMs),
      generated: rate(
        stats.generatedTokens - before.generatedTokens,
        stats.generatedMs - before.generatedMs,
      ),
    };
  }
}

function engineMetrics(stats: Totals, rates: Rates): string {
  const { prompt, generated } = rates.next(stats);
  const used = stats.pagesTotal - stats.pagesFree - stats.pagesCached;
  const prompts = stats.promptTokens + stats.cachedTokens;
  const list: [name: string, type: "counter" | "gauge", help: string, value: number][] = [
    ["llamacpp:prompt_tokens_total", "counter", "Prompt tokens computed.", stats.promptTokens],
    [
      "llamacpp:prompt_tokens_cached_total",
      "counter",
      "Prompt tokens from the cache.",
      stats.cachedTokens,
    ],
    ["llamacpp:prompt_seconds_total", "counter", "Time of prompts.", stats.promptMs / 1000],
    ["llamacpp:tokens_predicted_total", "counter", "Tokens generated.", stats.generatedTokens],
    [
      "llamacpp:tokens_predicted_seconds_total",
      "counter",
      "Time of generating.",
      stats.generatedMs / 1000,
    ],
    ["llamacpp:n_decode_total", "counter", "Steps of the engine.", stats.steps],
    [
      "llamacpp:prompt_tokens_seconds",
      "gauge",
      "Prompt tokens a second since the last scrape.",
      prompt,
    ],
    [
      "llamacpp:predicted_tokens_seconds",
      "gauge",
      "Tokens a second since the last scrape.",
      generated,
    ],
    ["llamacpp:requests_processing", "gauge", "Sequences that run.", stats.running],
    ["llamacpp:requests_deferred", "gauge", "Sequences that wait.", stats.queued],
    [
      "wrinklefree_kv_usage_ratio",
      "gauge",
      "Share of KV pages in use.",
      ratio(used, stats.pagesTotal),
    ],
    [
      "wrinklefree_kv_pages_cached",
      "gauge",
      "KV pages that hold cached prefixes.",
      stats.pagesCached,
    ],
    [
      "wrinklefree_cache_hit_ratio",
      "gauge",
      "Share of prompt tokens from the cache.",
      ratio(stats.cachedTokens, prompts),
    ],
    [
      "wrinklefree_preemptions_total",
      "counter",
      "Sequences put back for lack of pages.",
      stats.preemptions,
    ],
  ];
  return list
    .map(
      ([name, type, help, value]) =>
        `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name} ${value}\n`,
    )
    .join("");
}

function ratio(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0;
}

/** How a mixture's tokens fall on its experts; nothing for a dense model. */
function expertMetrics(model: string, layers: EngineStats["experts"]): string {
  if (layers.length === 0) return "";
  const name = "wrinklefree_expert_tokens_total";
  const lines = layers.flatMap(({ tokens }, layer) =>
    tokens.map(
      (n, expert) => `${name}{model="${model}",layer="${layer}",expert="${expert}"} ${n}\n`,
    ),
  );
  const balance = "wrinklefree_expert_balance";
  const balances = layers.map(
    (layer, i) => `${balance}{model="${model}",layer="${i}"} ${layer.balance}\n`,
  );
  return [
    `# HELP ${name} Tokens sent to each expert.\n# TYPE ${name} counter\n`,
    ...lines,
    `# HELP ${balance} Load-balancing loss of the router: experts a token if even.\n`,
    `# TYPE ${balance} gauge\n`,
    ...balances,
  ].join("");
}
