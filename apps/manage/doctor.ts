// What this machine has for running models, whether it works, and what to do where it does not.
import { existsSync } from "node:fs";
import { freemem, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { openRuntime, type Registry, WrinkleFreeError } from "../../core/index.ts";
import { featureNames, openKernels } from "../../core/native/select.ts";
import { Machine } from "../bench/machine.ts";
import { hubEnvironment } from "../convert/hub/environment.ts";
import { builtInModel } from "../server/built-in.ts";
import { version } from "../server/version.ts";
import { storeFolder } from "./store.ts";

/** One kernel library of the plugins. */
interface KernelReport {
  readonly name: string;
  readonly path: string;
  /** `missing`: not built or installed; `unfit`: this CPU lacks something it needs. */
  readonly state: "used" | "fits" | "unfit" | "missing";
  /** CPU features that it needs and that are not there. */
  readonly lacks: readonly string[];
}

export interface Diagnosis {
  readonly version: string;
  readonly system: string;
  readonly cpu: string;
  readonly features: readonly string[];
  readonly isa: string;
  readonly threads: number;
  readonly memory: { readonly bytes: number; readonly free: number };
  /** 10^9 bytes a second read from memory, 10^9 int8 multiply-adds a second, on all threads. */
  readonly speed: { readonly readGbps: number; readonly int8Gmacs: number };
  readonly kernels: readonly KernelReport[];
  readonly selfTest: SelfTest;
  readonly places: { readonly hub: string; readonly cache: string; readonly models: string };
}

/** Logits of the built-in model on every instruction set and number of threads: one hash for all. */
export interface SelfTest {
  readonly passed: boolean;
  readonly runs: readonly {
    readonly isa: string;
    readonly threads: number;
    readonly hash: string;
  }[];
  readonly problem?: string;
}

/** Bytes that the bandwidth probe reads: more than caches hold. */
const probeBytes = 256 << 20;

/** Examines the machine; takes a second or two. Throws `not_found` where no kernels are built. */
export async function diagnose(registry: Registry, threads: number): Promise<Diagnosis> {
  const { host, isa } = openKernels(registry.kernels);
  const features = featureNames(host.features);
  using machine = new Machine(registry, { threads, bytes: probeBytes });
  machine.read();
  const speed = machine.read();
  const kernels = registry.kernels.map(({ name, library, needs = [] }): KernelReport => {
    const path = library instanceof URL ? fileURLToPath(library) : library;
    const lacks = needs.filter((need) => !features.includes(need));
    if (!existsSync(path)) return { name, path, state: "missing", lacks };
    if (lacks.length > 0) return { name, path, state: "unfit", lacks };
    return { name, path, state: name.endsWith(`-${isa}`) ? "used" : "fits", lacks };
  });
  const { endpoint: hub, cache } = hubEnvironment();
  return {
    version,
    system: `${process.platform}-${process.arch}, Bun ${Bun.version}`,
    cpu: machine.cpu,
    features,
    isa,
    threads,
    memory: { bytes: totalmem(), free: freemem() },
    speed,
    kernels,
    selfTest: await selfTest(registry, kernels, threads),
    places: { hub, cache, models: storeFolder() },
  };
}

async function selfTest(
  registry: Registry,
  kernels: readonly KernelReport[],
  threads: number,
): Promise<SelfTest> {
  const runs: { isa: string; threads: number; hash: string }[] = [];
  const isas = kernels
    .filter(({ name, state }) => name.startsWith("cpu-") && (state === "used" || state === "fits"))
    .map(({ name }) => name.slice("cpu-".length));
  try {
    for (const isa of isas) {
      for (const count of new Set([1, threads])) {
        runs.push({ isa, threads: count, hash: await logitHash(registry, isa, count) });
      }
    }
  } catch (error) {
    if (!(error instanceof WrinkleFreeError)) throw error;
    return { passed: false, runs, problem: error.message };
  }
  const passed = runs.length > 0 && new Set(runs.map(({ hash }) => hash)).size === 1;
  return { passed, runs, ...(!passed && { problem: "logits differ" }) };
}

/** Hash of the logits after a few tokens. */
async function logitHash(registry: Registry, isa: string, threads: number): Promise<string> {
  const tokens = [7, 11, 381, 285];
  using runtime = await openRuntime(
    { model: builtInModel(), contextLength: 32, maxSequences: 1, maxRows: 4, threads, isa },
    registry,
  );
  const logits = tokens.map((_, i) => i);
  runtime.run({ sequences: [{ tokens, position: 0, pages: [0], logits }] });
  const hasher = new Bun.CryptoHasher("sha256");
  for (const i of logits) hasher.update(runtime.logits(i));
  return hasher.digest("hex").slice(0, 16);
}

/** The diagnosis for people. */
export function describeDiagnosis(diagnosis: Diagnosis): string {
  const { memory, speed, selfTest: test, places } = diagnosis;
  const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  const lines: [string, string][] = [
    ["version", `${diagnosis.version}, ${diagnosis.system}`],
    ["CPU", diagnosis.cpu],
    ["features", diagnosis.features.join(" ") || "none that we use"],
    ["runs on", `${diagnosis.isa}, ${diagnosis.threads} threads`],
    ["memory", `${gib(memory.bytes)}, ${gib(memory.free)} free`],
    ["reads", `${speed.readGbps.toFixed(1)} GB/s from memory`],
    ["multiplies", `${speed.int8Gmacs.toFixed(0)} int8 GMAC/s`],
    ...diagnosis.kernels.map(({ name, state, lacks }): [string, string] => [
      name,
      lacks.length > 0 ? `${state}: no ${lacks.join(", ")}` : state,
    ]),
    ["self-test", describeSelfTest(test)],
    ["hub", `${places.hub}, cache ${places.cache}`],
    ["models", places.models],
  ];
  return lines.map(([label, text]) => `${label.padEnd(14)}${text}`).join("\n");
}

function describeSelfTest({ passed, runs, problem }: SelfTest): string {
  const isas = [...new Set(runs.map(({ isa }) => isa))].join(", ");
  if (passed) return `ok: equal bits on ${isas} with ${runs.at(-1)?.threads} and 1 threads`;
  const list = runs.map(({ isa, threads, hash }) => `${isas && isa}/${threads} ${hash}`).join(", ");
  return `FAILED: ${problem} (${list})`;
}
