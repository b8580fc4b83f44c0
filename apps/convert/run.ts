// Runs `convert` from the command line: paths, progress, report.
import { basename, resolve } from "node:path";
import { resolvePlugins, WrinkleFreeError } from "../../core/index.ts";
import { createRegistry } from "../plugins.ts";
import { convert } from "./convert.ts";
import type { ConvertReport, Progress } from "./options.ts";

/** The command's flags, as commander names them. */
export interface RunOptions {
  readonly output?: string;
  readonly quantize: string;
  readonly quantEmbd?: string;
  readonly quantOutput?: string;
  readonly config?: string;
  readonly name?: string;
  readonly weightScale?: "direct" | "inverse";
  readonly naive?: boolean;
  readonly verify: boolean;
  readonly dryRun?: boolean;
  readonly overwrite: boolean;
  readonly resume?: boolean;
  readonly threads?: number;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly plugin?: readonly string[];
}

export async function runConvert(source: string | undefined, flags: RunOptions): Promise<void> {
  if (source === undefined) {
    throw new WrinkleFreeError("usage", "convert needs a source", {
      hint: "Give a checkpoint folder or file: wrinklefree convert ./model -o model.gguf",
    });
  }
  const plugins = await resolvePlugins(flags.plugin ?? [], process.cwd());
  const registry = await createRegistry(plugins);
  const abort = new AbortController();
  const interrupt = (): void => abort.abort();
  process.once("SIGINT", interrupt);
  const meter = flags.quiet || flags.json ? undefined : new Meter();
  try {
    const report = await convert(
      {
        source,
        output: resolve(flags.output ?? defaultOutput(source, flags.quantize)),
        quantize: flags.quantize.toLowerCase(),
        embedding: flags.quantEmbd,
        head: flags.quantOutput,
        config: flags.config,
        name: flags.name,
        weightScale: flags.weightScale,
        naive: flags.naive,
        verify: flags.verify,
        dryRun: flags.dryRun,
        overwrite: flags.overwrite,
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
    process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : describe(report, flags));
  } finally {
    process.off("SIGINT", interrupt);
    meter?.clear();
  }
}

function defaultOutput(source: string, format: string): string {
  const stem = basename(resolve(source)).replace(/\.(gguf|safetensors|pt|pth|bin)$/, "");
  return `${stem}-${format}.gguf`;
}

function describe(report: ConvertReport, flags: RunOptions): string {
  const size = `${(report.bytes / 2 ** 20).toFixed(1)} MiB, ${report.tensors} tensors`;
  if (flags.dryRun) return `would write ${report.output}: ${size}\n`;
  const proof =
    report.verifiedWeights > 0
      ? `; ${report.verifiedWeights} ternary weights equal the source's`
      : "";
  const sum = report.sha256 ? `sha256 ${report.sha256}\n` : "";
  return `${report.output}: ${size}, ${report.seconds.toFixed(1)} s${proof}\n${sum}`;
}

/** One line of progress on a terminal's standard error: share, rate, time left. */
class Meter {
  readonly #started = performance.now();
  #drawn = 0;
  #line = 0;

  readonly show = ({ phase, tensor, bytes, totalBytes }: Progress): void => {
    const now = performance.now();
    if (!process.stderr.isTTY || (now - this.#drawn < 100 && bytes < totalBytes)) return;
    this.#drawn = now;
    const done = phase === "write" ? bytes / totalBytes / 2 : 0.5 + bytes / totalBytes / 2;
    const seconds = (now - this.#started) / 1000;
    const left = Math.max(0, seconds / done - seconds).toFixed(0);
    const rate = (bytes / 2 ** 20 / Math.max(seconds, 0.001)).toFixed(0);
    const text = `${phase} ${(100 * done).toFixed(0)} %  ${rate} MiB/s  ${left} s left  ${tensor}`;
    process.stderr.write(`\r${text.padEnd(this.#line)}`);
    this.#line = text.length;
  };

  clear(): void {
    if (this.#line > 0) process.stderr.write(`\r${" ".repeat(this.#line)}\r`);
    this.#line = 0;
  }
}
