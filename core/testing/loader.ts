// Conformance suite for Loader plugins.
import {
  closeSync,
  cpSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { WrinkleFreeError } from "../errors.ts";
import type { Loader, ModelFile } from "../plugin/loader.ts";

export interface LoaderTestOptions {
  /** The file in a folder that holds the tensors; it is the one that gets cut off. */
  readonly tensorFile?: string;
}

/**
 * Checks a loader on one good model at `path`: it accepts it and nothing it cannot read, tells each
 * tensor's place truthfully, reports unknown names and truncated copies with WrinkleFreeError, never
 * with a crash. Throws `plugin` naming the first violation.
 */
export async function testLoader(
  loader: Loader,
  path: string,
  options: LoaderTestOptions = {},
): Promise<void> {
  const fail = (what: string): never => {
    throw new WrinkleFreeError("plugin", `loader "${loader.name}": ${what}`);
  };
  if (!loader.accepts(path, headOf(path))) fail(`it does not accept ${path}`);
  for (const [name, head] of Object.entries(foreign)) {
    if (loader.accepts(name, head)) fail(`it accepts ${name}, which is no model`);
  }
  {
    using file = await loader.open(path);
    checkFile(file, fail);
  }
  await checkMissing(loader, fail);
  await checkTruncated(loader, path, options.tensorFile, fail);
}

type Fail = (what: string) => never;

/** First bytes of files that no model loader reads. */
const foreign: Readonly<Record<string, Uint8Array>> = {
  "/nowhere/picture.png": Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13]),
  "/nowhere/notes.txt": new TextEncoder().encode("Dear diary, today nothing was quantized."),
  "/nowhere/nothing": new Uint8Array(0),
};

function headOf(path: string): Uint8Array {
  if (!statSync(path).isFile()) return new Uint8Array(0);
  const head = new Uint8Array(64);
  const handle = openSync(path, "r");
  try {
    return head.subarray(0, readSync(handle, head));
  } finally {
    closeSync(handle);
  }
}

function checkFile(file: ModelFile, fail: Fail): void {
  if (file.tensors.size === 0) fail("the file has no tensors");
  if (file.config === undefined && Object.keys(file.metadata).length === 0) {
    fail("neither metadata nor a config");
  }
  for (const [name, info] of file.tensors) {
    if (info.name !== name) fail(`tensor ${name} says its name is ${info.name}`);
    if (info.format === "") fail(`tensor ${name} has no format`);
    const sizes = info.shape.every((size) => Number.isSafeInteger(size) && size >= 0);
    if (!sizes) fail(`tensor ${name} has shape [${info.shape}]`);
    const bytes = file.bytes(name);
    if (bytes.byteLength !== info.byteLength) {
      fail(`tensor ${name}: ${bytes.byteLength} bytes, ${info.byteLength} were told`);
    }
  }
  try {
    file.bytes("no.such.tensor");
  } catch (error) {
    if (error instanceof WrinkleFreeError && error.code === "not_found") return;
    fail(`an unknown tensor throws ${error}, not not_found`);
  }
  fail("bytes of an unknown tensor are given");
}

async function checkMissing(loader: Loader, fail: Fail): Promise<void> {
  const path = join(tmpdir(), "wrinklefree-no-such-model");
  const error = await failureOf(() => loader.open(path));
  if (!(error instanceof WrinkleFreeError)) fail(`a missing file gives ${error}`);
}

/** Copies cut off at several places must be refused, each with one clear error. */
async function checkTruncated(
  loader: Loader,
  path: string,
  tensorFile: string | undefined,
  fail: Fail,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "wrinklefree-loader-"));
  try {
    const copy = join(folder, basename(path));
    cpSync(path, copy, { recursive: true });
    const cut = tensorFile === undefined ? copy : join(copy, tensorFile);
    const size = statSync(cut).size;
    for (const length of [size - 1, size >> 1, 100, 9, 3, 0]) {
      truncateSync(cut, length);
      const error = await failureOf(() => loader.open(copy));
      if (error instanceof WrinkleFreeError) continue;
      fail(`a copy cut off after ${length} of ${size} bytes gives ${error ?? "a model"}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function failureOf(open: () => Promise<ModelFile>): Promise<unknown> {
  try {
    const file = await open();
    file[Symbol.dispose]();
    return undefined;
  } catch (error) {
    return error;
  }
}
