// The registry: finds parts by name, refuses broken and clashing plugins with one clear error.
import { expect, test } from "bun:test";
import {
  type Architecture,
  definePlugin,
  type Loader,
  nearest,
  type Plugin,
  type Quantizer,
  Registry,
  WrinkleFreeError,
} from "../../core/index.ts";

const quantizer = (format: string, ggufType?: number): Quantizer => ({
  format,
  ggufType,
  byteLength: () => 0,
  encode: () => ({ bytes: new Uint8Array(0) }),
  decode: () => new Float32Array(0),
});

const loader = (name: string, accepts: Loader["accepts"]): Loader => ({
  name,
  accepts,
  open: () => Promise.reject(new Error("unused")),
});

const family = (name: string, hf: string[]): Architecture => ({
  names: [name],
  activation: "silu",
  record: () => {},
  huggingFace: { names: hf, tensor: () => undefined, metadata: () => ({}) },
});

function refusal(action: () => unknown): WrinkleFreeError {
  try {
    action();
  } catch (error) {
    if (error instanceof WrinkleFreeError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

test("parts are found by name, in plugin order", () => {
  const a = definePlugin({ name: "a", quantizers: [quantizer("i2_s", 36)] });
  const b = definePlugin({ name: "b", quantizers: [quantizer("x2", 36), quantizer("f16", 1)] });
  const registry = new Registry([a, b, a]);
  expect(registry.plugins).toEqual([a, b]);
  expect(registry.quantizers.map((q) => q.format)).toEqual(["i2_s", "x2", "f16"]);
  expect(registry.quantizer("x2").format).toBe("x2");
  expect(registry.quantizerByGgufType(36)?.format).toBe("x2");
  expect(registry.quantizerByGgufType(99)).toBeUndefined();
  expect(registry.routers).toEqual([]);
});

test("two registries do not share parts", () => {
  new Registry([definePlugin({ name: "a", quantizers: [quantizer("one")] })]);
  const other = new Registry([definePlugin({ name: "a", quantizers: [quantizer("two")] })]);
  expect(other.quantizers.map((q) => q.format)).toEqual(["two"]);
});

test("an unknown name is answered with the nearest one", () => {
  const registry = new Registry([
    definePlugin({ name: "a", quantizers: [quantizer("i2_s"), quantizer("tq2_0")] }),
  ]);
  const error = refusal(() => registry.quantizer("I2S"));
  expect(error.code).toBe("not_found");
  expect(error.message).toBe('no plugin provides the format "I2S"; did you mean "i2_s"?');
  expect(error.hint).toContain("i2_s, tq2_0");
  expect(refusal(() => registry.router("topk")).hint).toContain("known: none");
});

test("clashing plugins and parts are refused by name", () => {
  const a = definePlugin({ name: "a", quantizers: [quantizer("t")] });
  const again = definePlugin({ name: "a" });
  expect(refusal(() => new Registry([a, again])).message).toBe('two plugins are named "a"');
  const b = definePlugin({ name: "b", quantizers: [quantizer("t")] });
  expect(refusal(() => new Registry([a, b])).message).toBe('format "t" is provided by a and by b');
});

const broken: [string, unknown, string][] = [
  ["no plugin", undefined, "its default export is not a plugin"],
  ["no name", { api: 1 }, "it has no name"],
  ["no api", { name: "x" }, "it has no api version, this build speaks version 1"],
  ["a later api", { name: "x", api: 2 }, "it has api version 2, this build speaks version 1"],
  ["a list that is none", { name: "x", api: 1, loaders: {} }, '"loaders" is not a list'],
  ["an empty part", { name: "x", api: 1, routers: [null] }, "routers[0] is not an object"],
  [
    "a part without a member",
    { name: "x", api: 1, quantizers: [{ ...quantizer("q"), decode: undefined }] },
    "quantizers[0].decode is missing or not a function",
  ],
  [
    "a kernel without a library",
    { name: "x", api: 1, kernels: [{ name: "k" }] },
    "kernels[0].library is missing or not a path or URL",
  ],
];
for (const [what, value, message] of broken) {
  test(`a plugin with ${what} is refused`, () => {
    const error = refusal(() => new Registry([value as Plugin]));
    expect(error.code).toBe("plugin");
    expect(error.message).toContain(message);
  });
}

test("a model family is found by architectures before model_type", () => {
  const registry = new Registry([
    definePlugin({
      name: "a",
      architectures: [
        family("llama", ["LlamaForCausalLM", "llama"]),
        family("b", ["BForCausalLM"]),
      ],
    }),
  ]);
  const find = (config: Record<string, unknown>) =>
    registry.architectureForHuggingFace(config).names[0];
  expect(find({ architectures: ["BForCausalLM"], model_type: "llama" })).toBe("b");
  expect(find({ model_type: "llama" })).toBe("llama");
  const error = refusal(() => find({ architectures: ["LlamaForCausalLm2"] }));
  expect(error.message).toContain("LlamaForCausalLm2");
  expect(error.hint).toContain("did you mean LlamaForCausalLM?");
  expect(refusal(() => find({})).message).toContain("neither architectures nor model_type");
});

test("a loader is chosen by what the file holds", () => {
  const magic = (head: Uint8Array) => new TextDecoder().decode(head.subarray(0, 2)) === "//";
  const registry = new Registry([
    definePlugin({
      name: "a",
      loaders: [
        loader("folder", (_path, head) => head.length === 0),
        loader("source", (_path, head) => magic(head)),
      ],
    }),
  ]);
  expect(registry.loader(import.meta.path).name).toBe("source");
  expect(registry.loader(import.meta.dir).name).toBe("folder");
  const missing = refusal(() => registry.loader("/no/such/model.gguf"));
  expect(missing.code).toBe("not_found");
  expect(missing.details.file).toBe("/no/such/model.gguf");
  const unknown = refusal(() => registry.loader(`${import.meta.dir}/../../package.json`));
  expect(unknown.code).toBe("unsupported");
  expect(unknown.hint).toContain("folder, source");
  expect(refusal(() => registry.loader("/dev/null")).message).toContain(
    "neither a file nor a directory",
  );
});

test("the nearest name ignores case and punctuation and gives up when too far", () => {
  expect(nearest("TQ2-0", ["tq1_0", "tq2_0"])).toBe("tq2_0");
  expect(nearest("servr", ["serve", "convert"])).toBe("serve");
  expect(nearest("completely-different", ["serve", "convert"])).toBeUndefined();
});
