// Brings a model of the hub to this machine as a GGUF file: downloads it, or converts its checkpoint.
import { existsSync, mkdirSync } from "node:fs";
import { basename, join } from "node:path";
import { WrinkleFreeError } from "../../core/index.ts";
import type { Progress } from "../convert/options.ts";
import type { ModelName } from "./name.ts";
import { convertedFolder } from "./store.ts";

export interface PullOptions {
  /** Branch, tag or commit (default main). */
  readonly revision?: string;
  /** Ternary format that a checkpoint is converted to (default i2_s). */
  readonly quantize?: string;
  /** Keep the checkpoint as it is (default: convert it). */
  readonly convert?: boolean;
  readonly threads?: number;
  readonly plugins?: readonly string[];
  readonly progress?: (state: Progress) => void;
  readonly warn?: (text: string) => void;
  readonly signal?: AbortSignal;
}

export interface Pulled {
  readonly repo: string;
  /** GGUF file, or with `convert: false` perhaps a checkpoint folder. */
  readonly path: string;
  readonly kind: "gguf" | "converted" | "checkpoint";
}

/** Formats in a file's name, the ones that run best first. */
const preferred = ["i2_s", "tq2_0", "tl2", "q2_0", "pq2_0", "tq1_0", "iq2_bn", "iq1_bn", "tl1"];

/**
 * Fetches what is not here yet; an interrupted download or conversion goes on where it stopped, and
 * digests are compared with the hub's. Throws what fetching and converting throw, `usage` where a
 * repository has several GGUF files and none is the obvious one.
 */
export async function pullModel(name: ModelName, options: PullOptions = {}): Promise<Pulled> {
  const { fetchModel, repoFiles } = await import("../convert/hub/hub.ts");
  const { repo } = name;
  const { revision, progress } = options;
  const file = name.file ?? chooseGguf(repo, await repoFiles(repo, revision));
  const path = await fetchModel({ repo, revision, file }, (bytes, totalBytes, tensor) =>
    progress?.({ phase: "fetch", tensor, bytes, totalBytes }),
  );
  if (file !== undefined) return { repo, path, kind: "gguf" };
  if (options.convert === false) return { repo, path, kind: "checkpoint" };
  return { repo, path: await convertCheckpoint(repo, path, options), kind: "converted" };
}

/** The file to take of a repository; undefined where it has no GGUF file. */
export function chooseGguf(repo: string, files: readonly string[]): string | undefined {
  const gguf = files.filter((path) => path.endsWith(".gguf") && !/mmproj/i.test(path));
  for (const format of preferred) {
    const pattern = new RegExp(`(^|[^a-z0-9])${format}(?=[^a-z0-9]|$)`, "i");
    const fitting = gguf.filter((path) => pattern.test(path));
    // Q2_0 beside Q2_0_g64: the plain name is the shorter one.
    const [best] = fitting.sort((a, b) => a.length - b.length);
    if (best !== undefined) return best;
  }
  if (gguf.length < 2) return gguf[0];
  if (files.some((path) => /^(model|pytorch_model).*\.(safetensors|bin)$/.test(path))) {
    return undefined;
  }
  throw new WrinkleFreeError("usage", `${repo} has ${gguf.length} GGUF files`, {
    hint: `Name one: ${gguf.map((path) => `${repo}:${path}`).join(", ")}`,
  });
}

/** Converts once for each commit. */
async function convertCheckpoint(
  repo: string,
  snapshot: string,
  options: PullOptions,
): Promise<string> {
  const { quantize = "i2_s", plugins = [] } = options;
  const folder = join(convertedFolder(repo), basename(snapshot).slice(0, 12));
  const output = join(folder, `${basename(repo)}-${quantize.toLowerCase()}.gguf`);
  if (existsSync(output)) return output;
  const [{ convert }, { createRegistry }] = await Promise.all([
    import("../convert/convert.ts"),
    import("../plugins.ts"),
  ]);
  mkdirSync(folder, { recursive: true });
  const { progress, warn, signal, threads } = options;
  await convert(
    {
      source: snapshot,
      output,
      quantize: quantize.toLowerCase(),
      name: basename(repo),
      resume: true,
      threads,
      plugins,
      progress,
      warn,
      signal,
    },
    await createRegistry(plugins),
  );
  return output;
}
