// Chooses the kernel libraries that fit this machine, and the best entry for an op.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { WrinkleFreeError } from "../errors.ts";
import { mapFilesWith, mapsNatively } from "../mapped-file.ts";
import type { Kernel } from "../plugin/kernel.ts";
import { Host } from "./host.ts";
import { type NativeEntry, type NativeLibrary, openLibrary } from "./library.ts";

/** Bits of Host.features by the names that a Kernel's `needs` uses; see cpu.zig. */
const featureBits: Readonly<Record<string, number>> = {
  avx2: 1 << 0,
  fma: 1 << 1,
  f16c: 1 << 2,
  bmi2: 1 << 3,
  avx512: 1 << 4,
  avx512vnni: 1 << 5,
  avx512vbmi: 1 << 6,
  avx512vbmi2: 1 << 7,
  avxvnni: 1 << 8,
  gfni: 1 << 9,
  neon: 1 << 16,
  dotprod: 1 << 17,
  fp16: 1 << 18,
};

/** The native side of a runtime: the project's best library, and every third party's that fits. */
export interface Native {
  readonly host: Host;
  readonly isa: string;
  readonly libraries: readonly NativeLibrary[];
  readonly entries: readonly NativeEntry[];
  /** The entry of highest priority for an op and format, undefined where there is none. */
  find(op: string, format?: string): NativeEntry | undefined;
}

/** The names of a Host's CPU features. */
export function featureNames(features: number): string[] {
  return Object.keys(featureBits).filter((name) => (features & (featureBits[name] ?? 0)) !== 0);
}

/**
 * Opens the libraries of `kernels` that this CPU can run. Of those with a runtime the best one is
 * taken (the last in the list that fits), or the one that `isa` (by default WF_ISA) names. Throws `not_found` where no
 * library is built, `unsupported` where `isa` names one that is missing or does not fit.
 */
export function openKernels(
  kernels: readonly Kernel[],
  options: { readonly isa?: string } = {},
): Native {
  const isa = options.isa ?? process.env.WF_ISA;
  const present = kernels.filter((kernel) => existsSync(pathOf(kernel)));
  const base = present.find((kernel) => (kernel.needs ?? []).length === 0);
  const generic = base && openLibrary(base.library);
  if (generic === undefined || generic.host === 0) throw notBuilt(kernels);
  const { features } = new Host(generic);
  const fitting = present
    .filter((kernel) => fits(kernel, features))
    .map((kernel) => openLibrary(kernel.library));
  const own = fitting.filter((library) => library.host !== 0);
  const best = isa ? own.find((library) => library.isa === isa) : own.at(-1);
  if (best === undefined) {
    throw new WrinkleFreeError("unsupported", `WF_ISA=${isa}: no such library for this machine`, {
      field: "WF_ISA",
      hint: `one of ${own.map((library) => library.isa).join(", ")}`,
    });
  }
  const libraries = [best, ...fitting.filter((library) => library.host === 0)];
  const entries = libraries.flatMap((library) => library.entries);
  const find = (op: string, format = "") => findEntry(entries, op, format);
  const host = new Host(best);
  mapFilesWith(host);
  return { host, isa: best.isa, libraries, entries, find };
}

/**
 * Maps files by the library that every CPU can run, where it is built: Bun maps neither 4 GiB and more
 * nor a program that is running.
 */
export function mapFilesWithKernels(kernels: readonly Kernel[]): void {
  // Which mappings were cut off, or may be given back, only the library that made them knows.
  if (mapsNatively()) return;
  const base = kernels.find((kernel) => (kernel.needs ?? []).length === 0);
  if (base === undefined || !existsSync(pathOf(base))) return;
  const library = openLibrary(base.library);
  if (library.host !== 0) mapFilesWith(new Host(library));
}

/** The entry of highest priority for an op and format; among equals the first. */
export function findEntry(
  entries: readonly NativeEntry[],
  op: string,
  format: string,
): NativeEntry | undefined {
  let best: NativeEntry | undefined;
  for (const entry of entries) {
    if (entry.op !== op || entry.format !== format) continue;
    if (best === undefined || entry.priority > best.priority) best = entry;
  }
  return best;
}

function fits(kernel: Kernel, features: number): boolean {
  return (kernel.needs ?? []).every((need) => {
    const bit = featureBits[need];
    if (bit !== undefined) return (features & bit) !== 0;
    throw new WrinkleFreeError("plugin", `kernel ${kernel.name} needs "${need}": unknown feature`, {
      hint: `known: ${Object.keys(featureBits).join(", ")}`,
    });
  });
}

function pathOf(kernel: Kernel): string {
  return kernel.library instanceof URL ? fileURLToPath(kernel.library) : kernel.library;
}

function notBuilt(kernels: readonly Kernel[]): WrinkleFreeError {
  const where =
    kernels.length === 0 ? "no kernel plugin is loaded" : kernels.map(pathOf).join(", ");
  return new WrinkleFreeError("not_found", `the kernel libraries are not built: ${where}`, {
    hint: "run `npm run setup`",
  });
}
