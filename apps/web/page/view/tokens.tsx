// The tokens of an answer, tinted by their probability, with the likeliest alternatives of one.
import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import type { TokenScore } from "../conversation.ts";
import { memo } from "../memo.ts";

const percent = (logprob: number): string => {
  const value = Math.exp(logprob) * 100;
  return value >= 99.95 ? "100 %" : value >= 0.1 ? `${value.toFixed(1)} %` : "< 0.1 %";
};

/** Whitespace made visible, for one token shown alone. */
const visible = (text: string): string =>
  text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll(" ", "␣") || "(nothing)";

/** 0 for a sure token to 4 for a surprising one. */
const level = (logprob: number): number =>
  [0.9, 0.6, 0.3, 0.1].filter((bound) => Math.exp(logprob) < bound).length;

/** Tokens of one part of the answer; parts that are full are never drawn again. */
const Part = memo(
  (props: {
    readonly tokens: readonly TokenScore[];
    readonly first: number;
    readonly chosen: number;
  }) => (
    <>
      {props.tokens.map(([text, logprob], i) => (
        <span
          data-token={props.first + i}
          class={`token p${level(logprob)} ${props.first + i === props.chosen ? "chosen" : ""}`}
        >
          {text}
        </span>
      ))}
    </>
  ),
  (before, now) => before.tokens.length === now.tokens.length && before.chosen === now.chosen,
);

const partSize = 128;

export function Tokens({ tokens }: { readonly tokens: readonly TokenScore[] }): VNode {
  const chosen = useSignal(-1);
  const choose = (index: number): void => {
    chosen.value = Math.max(0, Math.min(index, tokens.length - 1));
  };
  const point = (event: PointerEvent): void => {
    const index = (event.target as HTMLElement).dataset?.token;
    if (index !== undefined) choose(Number(index));
  };
  const press = (event: KeyboardEvent): void => {
    const steps: Readonly<Record<string, number>> = {
      ArrowRight: chosen.value + 1,
      ArrowLeft: chosen.value - 1,
      Home: 0,
      End: tokens.length - 1,
    };
    const next = steps[event.key];
    if (next === undefined) return;
    event.preventDefault();
    choose(next);
  };
  const parts = Array.from({ length: Math.ceil(tokens.length / partSize) }, (_, i) => i * partSize);
  const inPart = (first: number): number =>
    chosen.value >= first && chosen.value < first + partSize ? chosen.value : -1;
  return (
    <div class="tokens">
      {/* biome-ignore lint/a11y/useSemanticElements: fieldsets hold form fields, not words */}
      <div
        class="token-text"
        role="group"
        aria-label="Tokens; the arrow keys move from one to the next"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys work in it
        tabIndex={0}
        onPointerOver={point}
        onPointerDown={point}
        onKeyDown={press}
      >
        {parts.map((first) => (
          <Part
            key={first}
            first={first}
            chosen={inPart(first)}
            tokens={tokens.slice(first, first + partSize)}
          />
        ))}
      </div>
      <Detail score={tokens[chosen.value]} />
    </div>
  );
}

function Detail({ score }: { readonly score: TokenScore | undefined }): VNode {
  if (!score) {
    return <p class="token-detail hint">Point at a token to see what else was likely.</p>;
  }
  const [text, logprob, top] = score;
  const listed = top.some(([other]) => other === text);
  const rows = listed ? top : [[text, logprob] as const, ...top];
  return (
    <div class="token-detail" role="status">
      <p>
        <code>{visible(text)}</code> {percent(logprob)}
      </p>
      <ol>
        {rows.map(([other, value]) => (
          <li class={other === text ? "own" : undefined}>
            <code>{visible(other)}</code>
            <meter min={0} max={1} value={Math.exp(value)} aria-label={visible(other)} />
            <span>{percent(value)}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}
