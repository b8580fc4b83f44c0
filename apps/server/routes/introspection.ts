// What the server does right now: /slots and /metrics.
import type { EngineStats } from "../../../core/index.ts";
import { HttpError } from "../errors.ts";
import { exposition, type Family, familiesOf, type Sample, single } from "../metrics.ts";
import { aliased } from "../metrics-alias.ts";
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
      whileDraining: true,
      async handle({ server }) {
        if (!server.settings.metrics) throw off("metrics", "with --metrics");
        const ready = server.slots.filter((slot) => slot.ready);
        const stats = await Promise.all(ready.map((slot) => slot.model.client.stats()));
        const families = [
          ...engineFamilies(sum(stats), rates, server),
          ...expertFamilies(ready.map((slot, i) => [slot.id, stats[i]?.experts ?? []])),
          ...(await familiesOf(server.observer.registry)),
        ];
        const others = aliased(families, server.settings.metricAliases, server.slots[0]?.id ?? "");
        const text = exposition([...families, ...others]);
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

function engineFamilies(stats: Totals, rates: Rates, { observer }: ServerState): Family[] {
  const { prompt, generated } = rates.next(stats);
  const used = stats.pagesTotal - stats.pagesFree - stats.pagesCached;
  const prompts = stats.promptTokens + stats.cachedTokens;
  const counter = (name: string, help: string, value: number): Family =>
    single(name, "counter", help, value);
  const gauge = (name: string, help: string, value: number): Family =>
    single(name, "gauge", help, value);
  const busy = ratio(stats.generatedTokens, stats.steps);
  const { drafts } = observer;
  const llama = [
    counter("prompt_tokens_total", "Prompt tokens computed.", stats.promptTokens),
    counter("prompt_tokens_cached_total", "Prompt tokens from the cache.", stats.cachedTokens),
    counter("prompt_seconds_total", "Time of prompts.", stats.promptMs / 1000),
    counter("tokens_predicted_total", "Tokens generated.", stats.generatedTokens),
    counter("tokens_predicted_seconds_total", "Time of generating.", stats.generatedMs / 1000),
    counter("n_decode_total", "Steps of the engine.", stats.steps),
    gauge("n_tokens_max", "Most tokens of one sequence.", observer.longest),
    counter("spec_decode_num_draft_tokens_total", "Tokens proposed.", drafts.proposed),
    counter("spec_decode_num_accepted_tokens_total", "Proposals taken.", drafts.accepted),
    gauge("prompt_tokens_seconds", "Prompt tokens a second since the last scrape.", prompt),
    gauge("predicted_tokens_seconds", "Tokens a second since the last scrape.", generated),
    gauge("requests_processing", "Sequences that run.", stats.running),
    gauge("requests_deferred", "Sequences that wait.", stats.queued),
    gauge("n_busy_slots_per_decode", "Tokens generated by a step on average.", busy),
  ];
  return [
    ...llama.map((family) => ({ ...family, name: `llamacpp:${family.name}` })),
    counter("wrinklefree_prefix_queries_total", "Prompt tokens looked up.", prompts),
    counter("wrinklefree_preemptions_total", "Put back for lack of pages.", stats.preemptions),
    gauge("wrinklefree_kv_usage_ratio", "KV pages in use.", ratio(used, stats.pagesTotal)),
    gauge("wrinklefree_kv_pages_cached", "KV pages of cached prefixes.", stats.pagesCached),
    gauge(
      "wrinklefree_cache_hit_ratio",
      "Prompt tokens from the cache.",
      ratio(stats.cachedTokens, prompts),
    ),
    gauge("process_resident_memory_bytes", "Memory of this process.", process.memoryUsage.rss()),
  ];
}

function ratio(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0;
}

/** How a mixture's tokens fall on its experts; nothing for dense models. */
function expertFamilies(models: [model: string, layers: EngineStats["experts"]][]): Family[] {
  const counts: Sample[] = [];
  const balances: Sample[] = [];
  for (const [model, layers] of models) {
    for (const [layer, { tokens, balance }] of layers.entries()) {
      balances.push({ suffix: "", labels: { model, layer }, value: balance });
      for (const [expert, value] of tokens.entries()) {
        counts.push({ suffix: "", labels: { model, layer, expert }, value });
      }
    }
  }
  if (balances.length === 0) return [];
  return [
    {
      name: "wrinklefree_expert_tokens_total",
      type: "counter",
      help: "Tokens sent to each expert.",
      samples: counts,
    },
    {
      name: "wrinklefree_expert_balance",
      type: "gauge",
      help: "Load-balancing loss of the router: experts a token if even.",
      samples: balances,
    },
  ];
}
