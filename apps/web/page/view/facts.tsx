// Facts about the model that answers.
import type { VNode } from "preact";
import { type ModelMeta, model, props } from "../server.ts";
import { count } from "./stats.tsx";

const units = ["bytes", "kB", "MB", "GB"];

export function bytes(value: number): string {
  let scaled = value;
  let unit = 0;
  while (scaled >= 1000 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return `${unit === 0 ? scaled : scaled.toPrecision(3)} ${units[unit]}`;
}

export function parameters(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toPrecision(3)} billion`;
  return value >= 1e6 ? `${(value / 1e6).toPrecision(2)} million` : count(value);
}

/** Rows of the table: label and text; unknown facts are left out. */
function rows(meta: ModelMeta): (readonly [string, string])[] {
  const number = (name: string): number | undefined => {
    const value = meta[name];
    return typeof value === "number" ? value : undefined;
  };
  const text = (name: string, show: (value: number) => string = count): string | undefined => {
    const value = number(name);
    return value === undefined ? undefined : show(value);
  };
  const context = text("n_ctx");
  const trained = text("n_ctx_train");
  const shared = number("n_head_kv") !== number("n_head");
  const list: readonly (readonly [string, string | undefined])[] = [
    ["Architecture", meta.architecture?.toString()],
    ["Parameters", text("n_params", parameters)],
    ["Quantization", meta.ftype?.toString()],
    ["File size", text("size", bytes)],
    ["Layers", text("n_layer")],
    ["Hidden size", text("n_embd")],
    ["Heads", shared ? `${text("n_head")}, ${text("n_head_kv")} for keys` : text("n_head")],
    ["Vocabulary", text("n_vocab")],
    ["Context", context === trained ? context : `${context}, trained on ${trained}`],
    ["Experts", text("n_expert", (value) => (value > 0 ? count(value) : "none, dense"))],
    ["Kernels", [meta.isa, meta.layout].filter((part) => part !== undefined).join(", ")],
    ["Threads", text("threads")],
  ];
  return list.filter((row): row is readonly [string, string] => Boolean(row[1]));
}

export function Facts(): VNode | null {
  const meta = model.value?.meta;
  if (!meta) return null;
  return (
    <>
      <dl class="facts">
        <div>
          <dt>Name</dt>
          <dd>{props.value?.name ?? model.value?.id}</dd>
        </div>
        {rows(meta).map(([name, text]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
      <Experts />
      <p class="hint break">{props.value?.path}</p>
      <p class="hint">{props.value?.build}</p>
    </>
  );
}

/** How evenly the tokens went to the experts, a row for each layer. */
function Experts(): VNode | null {
  const layers = props.value?.experts.filter((layer) => layer.length > 0) ?? [];
  if (layers.length === 0) return null;
  const most = Math.max(1, ...layers.flat());
  const size = 8;
  const width = Math.max(...layers.map((layer) => layer.length)) * size;
  return (
    <figure class="experts">
      <figcaption>Use of the experts: a row for each layer</figcaption>
      <svg
        viewBox={`0 0 ${width} ${layers.length * size}`}
        role="img"
        aria-label={`${layers.length} layers, up to ${count(most)} tokens to one expert`}
      >
        {layers.map((layer, y) =>
          layer.map((tokens, x) => (
            <rect
              x={x * size}
              y={y * size}
              width={size - 1}
              height={size - 1}
              fill-opacity={0.12 + (0.88 * tokens) / most}
            >
              <title>{`layer ${y}, expert ${x}: ${count(tokens)} tokens`}</title>
            </rect>
          )),
        )}
      </svg>
    </figure>
  );
}
