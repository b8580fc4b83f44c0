// Sampling options of a request: one schema from all samplers, checked and defaulted.
import { type TObject, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { WrinkleFreeError } from "../errors.ts";
import type { Sampler } from "../plugin/sampler.ts";

/** llama.cpp's order of the samplers that have a place in it. */
export const defaultOrder: readonly string[] = [
  "penalties",
  "dry",
  "top_n_sigma",
  "top_k",
  "typ_p",
  "top_p",
  "min_p",
  "xtc",
  "temperature",
];

/** Other names that llama.cpp accepts in `samplers`. */
const synonyms: Readonly<Record<string, string>> = {
  temp: "temperature",
  typ: "typ_p",
  typical: "typ_p",
  typical_p: "typ_p",
  nucleus: "top_p",
  topk: "top_k",
  topp: "top_p",
  minp: "min_p",
};

const orderSchema = Type.Optional(
  Type.Union([Type.Array(Type.String(), { maxItems: 64 }), Type.String({ maxLength: 256 })], {
    description:
      "Samplers to run, in order: names, or llama.cpp's letters. " +
      `Default: ${defaultOrder.join("; ")}.`,
  }),
);

/** One object schema of every sampler's options, and `samplers`. Throws `plugin` on a clash. */
export function samplingSchema(samplers: readonly Sampler[]): TObject {
  const properties: TObject["properties"] = { samplers: orderSchema };
  const owners = new Map<string, { sampler: string; schema: TSchema }>();
  for (const sampler of samplers) {
    for (const [name, schema] of Object.entries(sampler.options.properties)) {
      const owner = owners.get(name);
      if (name === "samplers" || (owner !== undefined && !Value.Equal(owner.schema, schema))) {
        const other = owner === undefined ? "the chain itself" : `sampler "${owner.sampler}"`;
        throw new WrinkleFreeError(
          "plugin",
          `option "${name}" of sampler "${sampler.name}" is another one of ${other}`,
          { field: name, hint: "give the option another name" },
        );
      }
      owners.set(name, { sampler: sampler.name, schema });
      properties[name] = Type.Optional(schema);
    }
  }
  return Type.Object(properties);
}

/** Every option's default value. */
export function defaultSamplingOptions(samplers: readonly Sampler[]): Record<string, unknown> {
  return Object.assign({}, ...samplers.map((sampler) => optionsOf(sampler, {})));
}

/**
 * The options of one sampler out of a request's: null and undefined mean the default. Throws
 * `bad_request` naming the field.
 */
export function optionsOf(
  sampler: Sampler,
  request: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(sampler.options.properties)) {
    options[name] = request[name] ?? schema.default;
  }
  const error = Value.Errors(sampler.options, options).First();
  if (error === undefined) return options;
  const field = error.path.split("/")[1] ?? "";
  throw new WrinkleFreeError("bad_request", `"${field}": ${lower(error.message)}`, { field });
}

function lower(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/**
 * Samplers in the order that the request's `samplers` asks for, or llama.cpp's; those that take the
 * place of the chain are left out.
 */
export function orderSamplers(samplers: readonly Sampler[], order: unknown): Sampler[] {
  const names = order === undefined || order === null ? defaultNames(samplers) : parse(order);
  const named = names.map((name) => find(samplers, name));
  const isMiddle = (s: Sampler) => s.place !== "first" && s.place !== "last" && !s.exclusive;
  return [
    ...samplers.filter((sampler) => sampler.place === "first"),
    ...named.filter(isMiddle),
    ...named.filter((sampler) => sampler.place === "last"),
  ];
}

/** Samplers of place "last" and those llama.cpp does not know come in where they cannot hurt. */
function defaultNames(samplers: readonly Sampler[]): string[] {
  const names = (some: readonly Sampler[]) => some.map((sampler) => sampler.name);
  const others = samplers.filter((s) => s.place !== "named" && !defaultOrder.includes(s.name));
  const order: string[] = [];
  for (const name of defaultOrder) {
    if (name === "temperature") order.push(...names(others));
    if (samplers.some((sampler) => sampler.name === name)) order.push(name);
  }
  return order;
}

function find(samplers: readonly Sampler[], name: string): Sampler {
  const plain = name.trim().toLowerCase().replaceAll("-", "_");
  const wanted = synonyms[plain] ?? plain;
  const sampler = samplers.find((s) => s.name === wanted || s.letter === name);
  if (sampler !== undefined) return sampler;
  const known = samplers.map((s) => (s.letter ? `${s.name} (${s.letter})` : s.name)).join(", ");
  throw new WrinkleFreeError("bad_request", `"samplers": there is no sampler "${name}"`, {
    field: "samplers",
    hint: `known: ${known}`,
  });
}

/** A list of names, names between semicolons, one name, or letters. */
function parse(order: unknown): string[] {
  if (Array.isArray(order) && order.every((name) => typeof name === "string")) return order;
  if (typeof order !== "string") {
    const text = '"samplers" is neither a list of names nor a string';
    throw new WrinkleFreeError("bad_request", text, { field: "samplers" });
  }
  if (order.includes(";")) return order.split(";").filter((name) => name.trim() !== "");
  return defaultOrder.includes(order) ? [order] : [...order];
}
