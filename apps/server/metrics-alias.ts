// The names that vLLM's and SGLang's dashboards look for, as other names of our own metrics.
import { type Family, renamed, type Sample } from "./metrics.ts";

export const metricAliases = ["vllm", "sglang"] as const;
export type MetricAlias = (typeof metricAliases)[number];

/** Our name to the other engine's. */
const names: Readonly<Record<MetricAlias, readonly (readonly [own: string, other: string])[]>> = {
  vllm: [
    ["llamacpp:requests_processing", "num_requests_running"],
    ["llamacpp:requests_deferred", "num_requests_waiting"],
    ["wrinklefree_kv_usage_ratio", "kv_cache_usage_perc"],
    ["wrinklefree_prefix_queries_total", "prefix_cache_queries_total"],
    ["llamacpp:prompt_tokens_cached_total", "prefix_cache_hits_total"],
    ["wrinklefree_preemptions_total", "num_preemptions_total"],
    ["wrinklefree_prefix_queries_total", "prompt_tokens_total"],
    ["llamacpp:tokens_predicted_total", "generation_tokens_total"],
    ["wrinklefree_requests_total", "request_success_total"],
    ["wrinklefree_time_to_first_token_seconds", "time_to_first_token_seconds"],
    ["wrinklefree_inter_token_latency_seconds", "inter_token_latency_seconds"],
    ["wrinklefree_inter_token_latency_seconds", "time_per_output_token_seconds"],
    ["wrinklefree_request_seconds", "e2e_request_latency_seconds"],
    ["wrinklefree_queue_seconds", "request_queue_time_seconds"],
    ["wrinklefree_prefill_seconds", "request_prefill_time_seconds"],
    ["wrinklefree_decode_seconds", "request_decode_time_seconds"],
    ["wrinklefree_prompt_tokens", "request_prompt_tokens"],
    ["wrinklefree_generated_tokens", "request_generation_tokens"],
  ],
  sglang: [
    ["llamacpp:requests_processing", "num_running_reqs"],
    ["llamacpp:requests_deferred", "num_queue_reqs"],
    ["wrinklefree_kv_usage_ratio", "token_usage"],
    ["llamacpp:predicted_tokens_seconds", "gen_throughput"],
    ["wrinklefree_cache_hit_ratio", "cache_hit_rate"],
    ["wrinklefree_prefix_queries_total", "prompt_tokens_total"],
    ["llamacpp:tokens_predicted_total", "generation_tokens_total"],
    ["llamacpp:prompt_tokens_cached_total", "cached_tokens_total"],
    ["wrinklefree_time_to_first_token_seconds", "time_to_first_token_seconds"],
    ["wrinklefree_inter_token_latency_seconds", "inter_token_latency_seconds"],
    ["wrinklefree_request_seconds", "e2e_request_latency_seconds"],
  ],
};

const reasons: Readonly<Record<string, string>> = {
  eos: "stop",
  word: "stop",
  limit: "length",
  cancelled: "abort",
};

/** The families once more under the names of `aliases`; `model` names it where ours do not. */
export function aliased(
  families: readonly Family[],
  aliases: readonly MetricAlias[],
  model: string,
): Family[] {
  const known = new Map(families.map((family) => [family.name, family]));
  return aliases.flatMap((alias) =>
    names[alias].flatMap(([own, other]) => {
      const family = known.get(own);
      if (!family) return [];
      return [renamed(family, `${alias}:${other}`, (labels) => relabel(alias, labels, model))];
    }),
  );
}

function relabel(alias: MetricAlias, labels: Sample["labels"], only: string): Sample["labels"] {
  const { model, reason, ...rest } = labels;
  return {
    model_name: model ?? only,
    ...(alias === "vllm" && { engine: "0" }),
    ...rest,
    ...(reason !== undefined && { finished_reason: reasons[reason] ?? reason }),
  };
}
