// Runs pull, ls, rm and doctor: what they print, for people or as JSON.
import { nearest, resolvePlugins, WrinkleFreeError } from "../../core/index.ts";
import { Meter } from "../convert/meter.ts";
import { createRegistry } from "../plugins.ts";
import { aliases } from "./aliases.ts";
import { parseName } from "./name.ts";
import { type LocalModel, localModels, removeModel } from "./store.ts";

const print = (text: string): boolean => process.stdout.write(`${text}\n`);

export interface PullFlags {
  readonly revision?: string;
  readonly quantize: string;
  readonly convert: boolean;
  readonly list?: boolean;
  readonly threads?: number;
  readonly plugin?: readonly string[];
  readonly quiet?: boolean;
  readonly json?: boolean;
}

export async function runPull(name: string | undefined, flags: PullFlags): Promise<void> {
  if (flags.list) return listAliases(flags.json);
  if (name === undefined) {
    throw new WrinkleFreeError("usage", "pull needs the name of a model", {
      hint: 'owner/name, owner/name:file.gguf, or a short name; "pull --list" shows those',
    });
  }
  const parsed = parseName(name);
  if (parsed === undefined) throw notAName(name);
  const plugins = await resolvePlugins(flags.plugin ?? [], process.cwd());
  const { pullModel } = await import("./pull.ts");
  const abort = new AbortController();
  const interrupt = (): void => abort.abort();
  process.once("SIGINT", interrupt);
  const meter = flags.quiet || flags.json ? undefined : new Meter();
  try {
    const { revision, quantize, convert, threads } = flags;
    const pulled = await pullModel(parsed, {
      ...{ revision, quantize, convert, threads, plugins, signal: abort.signal },
      progress: meter?.show,
      warn: (text) => {
        meter?.clear();
        process.stderr.write(`warning: ${text}\n`);
      },
    });
    meter?.clear();
    print(flags.json ? JSON.stringify(pulled) : pulled.path);
    if (process.stderr.isTTY && !flags.quiet) {
      process.stderr.write(`Serve it: wrinklefree serve -m ${name}\n`);
    }
  } finally {
    process.off("SIGINT", interrupt);
    meter?.clear();
  }
}

function notAName(name: string): WrinkleFreeError {
  const guess = nearest(name, Object.keys(aliases));
  return new WrinkleFreeError("usage", `${name}: not of the form owner/name`, {
    hint: guess ? `Did you mean ${guess}?` : '"wrinklefree pull --list" shows the short names.',
  });
}

function listAliases(json: boolean | undefined): void {
  if (json) return void print(JSON.stringify(aliases));
  for (const [name, { source, about }] of Object.entries(aliases)) {
    print(`${name.padEnd(14)} ${source.padEnd(40)} ${about}`);
  }
}

export function runList(flags: { readonly json?: boolean }): void {
  const models = localModels();
  if (flags.json) return void print(JSON.stringify(models));
  if (models.length === 0) {
    print("No models here yet. Get one: wrinklefree pull bitnet-2b (pull --list shows more)");
    return;
  }
  const width = Math.max(...models.map(({ name }) => name.length));
  for (const { name, kind, bytes, modified } of models) {
    print(`${name.padEnd(width)}  ${kind.padEnd(10)}  ${size(bytes)}  ${modified.slice(0, 10)}`);
  }
}

export function runRemove(names: readonly string[], flags: { readonly json?: boolean }): void {
  const here = localModels();
  const repos = names.map((name) => repoOf(name, here));
  for (const repo of repos) {
    const bytes = removeModel(repo);
    print(
      flags.json ? JSON.stringify({ repo, bytes }) : `${repo}: ${size(bytes).trim()} free again`,
    );
  }
}

/** The repository that a name means, if something of it is here. Throws `not_found`. */
function repoOf(name: string, here: readonly LocalModel[]): string {
  const repo = parseName(name)?.repo;
  const known = here.map((model) => model.name.split(":")[0] ?? "");
  if (repo !== undefined && known.includes(repo)) return repo;
  const guess = nearest(name, known);
  throw new WrinkleFreeError("not_found", `there is no model ${name} here`, {
    hint: guess ? `Did you mean ${guess}?` : '"wrinklefree ls" shows what there is.',
  });
}

const size = (bytes: number): string =>
  (bytes < 2 ** 30
    ? `${(bytes / 2 ** 20).toFixed(1)} MiB`
    : `${(bytes / 2 ** 30).toFixed(2)} GiB`
  ).padStart(10);

export async function runDoctor(flags: {
  readonly threads?: number;
  readonly plugin?: readonly string[];
  readonly json?: boolean;
}): Promise<void> {
  const { describeDiagnosis, diagnose } = await import("./doctor.ts");
  const registry = await createRegistry(await resolvePlugins(flags.plugin ?? [], process.cwd()));
  const diagnosis = await diagnose(registry, flags.threads ?? navigator.hardwareConcurrency);
  print(flags.json ? JSON.stringify(diagnosis) : describeDiagnosis(diagnosis));
  if (!diagnosis.selfTest.passed) process.exitCode = 1;
}
