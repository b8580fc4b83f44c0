// All fuzzers, and the corpus: inputs that once found a bug.
import { readdirSync, readFileSync } from "node:fs";
import type { Fuzzer, Input } from "./fuzzer.ts";
import { ggufFuzzer } from "./gguf.ts";
import { gbnfFuzzer, regexFuzzer, schemaFuzzer } from "./grammar.ts";
import { httpFuzzer } from "./http.ts";
import { pytorchFuzzer } from "./pytorch.ts";
import { safetensorsFuzzer } from "./safetensors.ts";
import { snapshotFuzzer } from "./snapshot.ts";
import { templateFuzzer, tokenizerFuzzer } from "./text.ts";

export const fuzzers: readonly Fuzzer[] = [
  ggufFuzzer,
  safetensorsFuzzer,
  pytorchFuzzer,
  tokenizerFuzzer,
  templateFuzzer,
  schemaFuzzer,
  gbnfFuzzer,
  regexFuzzer,
  snapshotFuzzer,
  httpFuzzer,
];

/** The fuzzers of `names` (parts of them, separated by commas), or all. */
export function chosen(names: string | undefined): Fuzzer[] {
  const wanted = names?.toLowerCase().split(",");
  return fuzzers.filter(
    ({ name }) => !wanted || wanted.some((part) => name.toLowerCase().includes(part)),
  );
}

const folder = new URL("corpus/", import.meta.url);

/** The kept inputs of a fuzzer, by file name. */
export function corpus({ extension }: Fuzzer): [name: string, input: Input][] {
  const names = readdirSync(folder).filter((name) => name.endsWith(`.${extension}`));
  return names.sort().map((name) => {
    const bytes = readFileSync(new URL(name, folder));
    const isText = !["gguf", "safetensors", "pt", "wfkv"].includes(extension);
    return [name, isText ? bytes.toString() : bytes];
  });
}
