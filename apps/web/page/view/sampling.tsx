// The sampling panel: the usual options, then every loaded sampler's.
import type { VNode } from "preact";
import { type OptionSchema, props } from "../server.ts";
import { change, settings } from "../settings.ts";
import { Option } from "./option.tsx";

/** The usual options, in the order that people look for them. */
const usual: readonly (readonly [name: string, label: string])[] = [
  ["temperature", "Temperature"],
  ["top_k", "Top-k"],
  ["top_p", "Top-p"],
  ["min_p", "Min-p"],
];

const maxTokens: OptionSchema = {
  type: "integer",
  minimum: 1,
  description: "Tokens to generate at most. Without a limit: until the context is full.",
};
const seed: OptionSchema = {
  type: "integer",
  minimum: 0,
  maximum: 4294967295,
  description: "The same seed gives the same answer.",
};

export function Sampling(): VNode | null {
  const known = props.value;
  if (!known) return null;
  const all = Object.assign({}, ...known.samplers.map(({ options }) => options));
  const shown = new Set(usual.map(([name]) => name));
  const limit = known.defaults.max_tokens;
  const { sampling, probabilities } = settings.value;
  return (
    <>
      {usual.map(([name, label]) => {
        const schema = all[name] as OptionSchema | undefined;
        if (!schema) return null;
        const standard = known.defaults[name];
        return <Option key={name} name={name} label={label} schema={schema} standard={standard} />;
      })}
      <Option
        name="max_tokens"
        label="Max tokens"
        schema={maxTokens}
        standard={limit === -1 ? undefined : limit}
        off="no limit"
      />
      <Option name="seed" label="Seed" schema={seed} standard={undefined} off="random" />
      <div class="option">
        <label for="probabilities">Token probabilities</label>
        <input
          id="probabilities"
          type="checkbox"
          checked={probabilities}
          onChange={(event) => change({ probabilities: event.currentTarget.checked })}
        />
        <p class="hint">Shows each token's probability and what else was likely.</p>
      </div>
      <h3>All samplers</h3>
      {known.samplers.map(({ name, options }) => {
        const rest = Object.entries(options).filter(([option]) => !shown.has(option));
        if (rest.length === 0) return null;
        const set = rest.filter(([option]) => sampling[option] !== undefined).length;
        return (
          <details class="sampler" key={name}>
            <summary>
              {name.replaceAll("_", " ")} {set > 0 && <span class="badge">{set} set</span>}
            </summary>
            {rest.map(([option, schema]) => (
              <Option
                key={option}
                name={option}
                schema={schema}
                standard={known.defaults[option]}
              />
            ))}
          </details>
        );
      })}
      <button
        type="button"
        class="button"
        disabled={Object.keys(sampling).length === 0}
        onClick={() => change({ sampling: {} })}
      >
        Reset all to the server's defaults
      </button>
    </>
  );
}
