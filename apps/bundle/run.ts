// Runs `wrinklefree bundle`: one executable, with a model appended where a page starts.
import { closeSync, mkdirSync, openSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { appendedModel, pageBytes, writeFooter } from "../../core/appended.ts";
import { openModel, WrinkleFreeError } from "../../core/index.ts";
import { compiled } from "../../core/installation.ts";
import { findModelFile } from "../manage/find.ts";
import { createRegistry } from "../plugins.ts";
import { builtInModel } from "../server/built-in.ts";
import { buildExecutable } from "./build.ts";

export interface BundleOptions {
  readonly output: string;
  readonly model?: string;
}

/** Throws `usage` for a model that is no GGUF file; what finding, opening and building throw. */
export async function runBundle(options: BundleOptions): Promise<void> {
  const registry = await createRegistry();
  const model = options.model === undefined ? builtInModel() : await findModelFile(options.model);
  const { file } = await openModel(model, registry);
  const { kind } = file;
  file[Symbol.dispose]();
  if (kind !== "gguf") {
    throw new WrinkleFreeError("usage", `${model} is not a GGUF file`, {
      flag: "--model",
      hint: "wrinklefree convert makes one of it.",
    });
  }
  mkdirSync(dirname(options.output), { recursive: true });
  const temporary = `${options.output}.${process.pid}`;
  try {
    if (compiled) await copyRange(process.execPath, temporary, 0, programBytes(process.execPath));
    else await buildExecutable(registry, temporary);
    await append(temporary, model, options.model === undefined);
    renameSync(temporary, options.output);
  } finally {
    rmSync(temporary, { force: true });
  }
  const megabytes = (statSync(options.output).size / 1e6).toFixed(1);
  console.log(`${options.output}: ${megabytes} MB, of them ${modelMegabytes(model)} MB the model`);
}

function modelMegabytes(model: string): string {
  return ((appendedModel(model)?.byteLength ?? statSync(model).size) / 1e6).toFixed(1);
}

/** Bytes of the program without its model and the space before it. */
function programBytes(path: string): number {
  return appendedModel(path)?.offset ?? statSync(path).size;
}

async function append(program: string, model: string, builtIn: boolean): Promise<void> {
  const offset = Math.ceil(statSync(program).size / pageBytes) * pageBytes;
  const inside = appendedModel(model);
  const byteLength = inside?.byteLength ?? statSync(model).size;
  await copyRange(model, program, inside?.offset ?? 0, byteLength, offset);
  const file = openSync(program, "r+");
  const footer = writeFooter({ offset, byteLength, builtIn });
  writeSync(file, footer, 0, footer.length, offset + byteLength);
  closeSync(file);
}

/** Copies `bytes` bytes of `from` at `start` into `to` at `target`; an executable where `to` is new. */
async function copyRange(
  from: string,
  to: string,
  start: number,
  bytes: number,
  target?: number,
): Promise<void> {
  const file = target === undefined ? openSync(to, "wx", 0o755) : openSync(to, "r+");
  try {
    let at = target ?? 0;
    for await (const chunk of Bun.file(from)
      .slice(start, start + bytes)
      .stream()) {
      for (let done = 0; done < chunk.length; ) {
        done += writeSync(file, chunk, done, chunk.length - done, at + done);
      }
      at += chunk.length;
    }
  } finally {
    closeSync(file);
  }
}
