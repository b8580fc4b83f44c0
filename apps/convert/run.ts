// Runs `convert` from the command line: paths, progress, report.
import { existsSync, writeFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import { resolvePlugins, WrinkleFreeError } from "../../core/index.ts";
import { writeFailure } from "../../plugins/standard.ts";
import { parseName } from "../manage/name.ts";
import { createRegistry } from "../plugins.ts";
import { convert } from "./convert.ts";
import { Meter } from "./meter.ts";
import type { ConvertReport, FakeMixture } from "./options.ts";

/** The command's flags, as commander names them. */
export interface RunOptions {
  readonly output?: string;
  readonly hfRepo?: string;
  readonly hfFile?: string;
  readonly revision?: string;
  readonly quantize: string;
  readonly quantEmbd?: string;
  readonly quantOutput?: string;
  readonly config?: string;
  readonly name?: string;
  readonly weightScale?: "direct" | "inverse";
  readonly naive?: boolean;
  readonly verify: boolean;
  readonly forward: boolean;
  readonly dryRun?: boolean;
  readonly overwrite: boolean;
  readonly fakeMoe?: number;
  readonly topK: number;
  readonly router: "identity" | "top-k";
  readonly shareExperts?: boolean;
  readonly resume?: boolean;
  readonly threads?: number;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly plugin?: readonly string[];
}

export async function runConvert(source: string | undefined, flags: RunOptions): Promise<void> {
  const given = [source, flags.hfRepo].filter((name) => name !== undefined);
  const named = source !== undefined && !existsSync(source) ? parseName(source) : undefined;
  if (named && flags.hfRepo === undefined) {
    return runConvert(undefined, { ...flags, hfRepo: named.repo, hfFile: named.file });
  }
  if (given.length !== 1) {
    throw new WrinkleFreeError("usage", "convert needs one source: a path or --hf-repo", {
      hint: "For example: wrinklefree convert ./model -o model.gguf",
    });
  }
  const plugins = await resolvePlugins(flags.plugin ?? [], process.cwd());
  const registry = await createRegistry(plugins);
  const abort = new AbortController();
  const interrupt = (): void => abort.abort();
  process.once("SIGINT", interrupt);
  const meter = flags.quiet || flags.json ? undefined : new Meter();
  try {
    const path = source ?? (await fetchFromHub(flags, meter));
    const report = await convert(
      {
        source: path,
        output: resolve(
          flags.output ?? defaultOutput(source ?? flags.hfRepo ?? "", flags.quantize),
        ),
        quantize: flags.quantize.toLowerCase(),
        embedding: flags.quantEmbd,
        head: flags.quantOutput,
        config: flags.config,
        name: flags.name ?? flags.hfRepo?.split("/")[1],
        weightScale: flags.weightScale,
        naive: flags.naive,
        verify: flags.verify,
        forward: flags.forward,
        dryRun: flags.dryRun,
        overwrite: flags.overwrite,
        mixture: mixtureOf(flags),
        resume: flags.resume,
        threads: flags.threads,
        plugins,
        progress: meter?.show,
        warn: (text) => {
          meter?.clear();
          process.stderr.write(`warning: ${text}\n`);
        },
        signal: abort.signal,
      },
      registry,
    );
    meter?.clear();
    recordChecksum(report);
    process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : describe(report, flags));
  } finally {
    process.off("SIGINT", interrupt);
    meter?.clear();
  }
}

function mixtureOf({ fakeMoe, topK, router, shareExperts }: RunOptions): FakeMixture | undefined {
  return fakeMoe === undefined ? undefined : { experts: fakeMoe, topK, router, shareExperts };
}

async function fetchFromHub(flags: RunOptions, meter: Meter | undefined): Promise<string> {
  const { fetchModel } = await import("./hub/hub.ts");
  const { hfRepo: repo = "", revision, hfFile: file } = flags;
  return fetchModel({ repo, revision, file }, (bytes, totalBytes, tensor) =>
    meter?.show({ phase: "fetch", tensor, bytes, totalBytes }),
  );
}

function defaultOutput(source: string, format: string): string {
  const stem = basename(resolve(source)).replace(/\.(gguf|safetensors|pt|pth|bin)$/, "");
  return format === "hf-packed" ? `${stem}-packed` : `${stem}-${format}.gguf`;
}

/** `<output>.sha256`, as `sha256sum -c` reads it. */
function recordChecksum({ output, sha256 }: ConvertReport): void {
  const path = `${output}.sha256`;
  if (sha256 === undefined) return;
  try {
    writeFileSync(path, `${sha256}  ${basename(output)}\n`);
  } catch (cause) {
    throw writeFailure(path, 1, cause);
  }
}

function describe(report: ConvertReport, flags: RunOptions): string {
  const size = `${(report.bytes / 2 ** 20).toFixed(1)} MiB, ${report.tensors} tensors`;
  if (flags.dryRun) return `would write ${report.output}: ${size}\n`;
  const proof =
    report.verifiedWeights > 0
      ? `; ${report.verifiedWeights} ternary weights equal the source's`
      : "";
  const { logits, noLogits } = report;
  const forward = logits
    ? `logits of ${logits.tokens} tokens: ${
        logits.identical
          ? "the source's, bit for bit"
          : `cosine with the source's at least ${logits.smallestCosine.toFixed(6)}, ` +
            `best token equal at ${logits.sameBest}`
      }\n`
    : noLogits
      ? `logits not compared: ${noLogits}\n`
      : "";
  const sum = report.sha256 ? `sha256 ${report.sha256}\n` : "";
  return `${report.output}: ${size}, ${report.seconds.toFixed(1)} s${proof}\n${forward}${sum}`;
}
