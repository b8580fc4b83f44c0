// What a new conversation shows: which model answers, what it can do, and what to try.
import type { VNode } from "preact";
import { send } from "../run.ts";
import { model, props, status } from "../server.ts";
import { CopyButton } from "./copy.tsx";
import { parameters } from "./facts.tsx";

const stories = [
  "Tell me a story about a fox and a lantern.",
  "Tell me a story about the sea.",
  "Tell me a story about a kind robot.",
];
const questions = [
  "Explain how a ternary weight saves memory.",
  "Write a short poem about linen.",
  "Give me three uses for a small local model.",
];

export function Welcome(): VNode {
  const demo = /(^|[\\/])apps[\\/]models[\\/]tern[^\\/]*\.gguf$/.test(props.value?.path ?? "");
  return (
    <section class="transcript" aria-label="Start">
      <div class="column welcome">
        <Weights />
        {demo ? <Demo /> : <Model />}
        <Suggestions texts={demo ? stories : questions} />
        {demo && <RealModel />}
      </div>
    </section>
  );
}

function Demo(): VNode {
  return (
    <>
      <h1>A very small model, to try things out</h1>
      <p class="lead">
        This is Tern, the built-in demo: 4 million weights, each −1, 0 or +1. It tells short, simple
        stories. It knows nothing else, so do not trust what it says.
      </p>
    </>
  );
}

function Model(): VNode {
  const { meta, id } = model.value ?? {};
  const size = typeof meta?.n_params === "number" ? parameters(meta.n_params) : undefined;
  return (
    <>
      <h1>{id ?? "WrinkleFree"}</h1>
      {size && (
        <p class="lead">
          {size} parameters, running on this machine's processor. What you write stays between this
          browser and your server.
        </p>
      )}
    </>
  );
}

function Suggestions({ texts }: { readonly texts: readonly string[] }): VNode {
  return (
    <div class="suggestions">
      {texts.map((text) => (
        <button
          key={text}
          type="button"
          class="suggestion"
          disabled={status.value !== "ready"}
          onClick={() => send(text)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}

const command = "wrinklefree serve -m bitnet-2b";

function RealModel(): VNode {
  return (
    <section class="real" aria-labelledby="real">
      <h2 id="real">Use a real model</h2>
      <p>Stop the server and start it with a ternary model. This fetches one of 1.2 GB:</p>
      <div class="command">
        <code>{command}</code>
        <CopyButton text={command} what="command" />
      </div>
      <p class="hint">
        For a file that you have: <code>wrinklefree serve -m model.gguf</code>
      </p>
    </section>
  );
}

/** A strip of ternary weights: one bar below, on or above the line for each. */
function Weights(): VNode {
  const values = "+0-+-00+0-+0+--0+00-+0-0++-0-+00+-0+-+0-";
  const height = { "+": 1, "0": 9, "-": 11 };
  return (
    <svg
      class="weights"
      viewBox={`0 0 ${values.length * 8} 20`}
      aria-hidden="true"
      focusable="false"
    >
      {[...values].map((value, i) => (
        <rect
          class={value === "0" ? "zero" : value === "+" ? "plus" : "minus"}
          x={i * 8 + 1}
          y={height[value as "+" | "0" | "-"]}
          width="4"
          height={value === "0" ? 2 : 8}
          rx={value === "0" ? 1 : 2}
        />
      ))}
    </svg>
  );
}
