// Numbers of an answer: speed, time to first token, cached tokens, use of the context.
import type { VNode } from "preact";
import type { AnswerStats } from "../conversation.ts";
import { props } from "../server.ts";

export const count = (value: number): string => value.toLocaleString("en");

export function milliseconds(value: number): string {
  return value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

export function Stats({ stats }: { readonly stats: AnswerStats }): VNode {
  const { prompt, cached, generated, perSecond, firstMs } = stats;
  const limit = props.value?.n_ctx ?? 0;
  const used = prompt + generated;
  return (
    <dl class="stats">
      <Fact name="Speed" text={perSecond > 0 ? `${count(round(perSecond))} tokens/s` : "–"} />
      {firstMs !== undefined && <Fact name="First token" text={milliseconds(firstMs)} />}
      <Fact name="Tokens" text={count(generated)} />
      <Fact name="Cached" text={`${count(cached)} of ${count(prompt)}`} />
      {limit > 0 && (
        <div class={used > 0.9 * limit ? "stat full" : "stat"}>
          <dt>Context</dt>
          <dd>
            {count(used)} of {count(limit)}
            <meter min={0} max={limit} value={used} aria-label="Context use" />
          </dd>
        </div>
      )}
    </dl>
  );
}

const round = (value: number): number =>
  value < 100 ? Number(value.toFixed(1)) : Math.round(value);

function Fact({ name, text }: { readonly name: string; readonly text: string }): VNode {
  return (
    <div class="stat">
      <dt>{name}</dt>
      <dd>{text}</dd>
    </div>
  );
}
