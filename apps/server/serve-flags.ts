// The serve command's flags as values, and the files that they name.
import { readFile } from "node:fs/promises";
import { type Pooling, WrinkleFreeError } from "../../core/index.ts";

/** The flags as commander gives them. */
export interface ServeFlags {
  model?: string[];
  hfRepo?: string;
  hfFile?: string;
  alias?: string[];
  ctxSize: number;
  chatTemplate?: string;
  chatTemplateFile?: string;
  pooling?: Pooling;
  plugin?: string[];
  host: string;
  port: number;
  apiKey?: string[];
  apiKeyFile?: string;
  sslKeyFile?: string;
  sslCertFile?: string;
  corsOrigin?: string[];
  allowedHost?: string[];
  maxBody: number;
  timeout?: number;
  drainDelay: number;
  drainTimeout: number;
  config?: string;
  webui: boolean;
  tags?: string[];
  metrics?: boolean;
  metricsAlias?: string[];
  slots: boolean;
  logprobTokens: "text" | "token-id" | "digits";
  slotSavePath?: string;
  strictModelNames?: boolean;
  shareCache?: boolean;
  cachePrompt: boolean;
  ssePingInterval: number;
  logLevel: string;
  logFormat: "auto" | "pretty" | "json";
  threads?: number;
  parallel: number;
  batchSize: number;
  queue: number;
  maxStepMs: number;
  kvMemory?: number;
  cacheTypeK: "f16" | "q8_0";
  cacheTypeV: "f16" | "q8_0";
  draftMax: number;
  mmap?: boolean;
  expertsResident?: number;
  isolate?: boolean;
  isa?: string;
  layout?: string;
  gemm?: string;
  nPredict: number;
  seed?: number;
}

/** Keys of --api-key and --api-key-file. Throws `usage` for a file without any. */
export async function readApiKeys(flags: ServeFlags): Promise<string[]> {
  const keys = [...(flags.apiKey ?? [])];
  if (flags.apiKeyFile !== undefined) {
    const text = await readText("--api-key-file", flags.apiKeyFile);
    const lines = text.split(/\r?\n/).map((line) => line.trim());
    const own = lines.filter((line) => line !== "");
    if (own.length === 0) {
      throw new WrinkleFreeError("usage", `${flags.apiKeyFile} holds no key`, {
        flag: "--api-key-file",
        hint: "Write one key a line.",
      });
    }
    keys.push(...own);
  }
  return keys;
}

/** A file that a flag names. Throws `usage` when it cannot be read. */
export async function readText(flag: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const reason = (cause as { code?: string }).code ?? String(cause);
    throw new WrinkleFreeError("usage", `${flag} ${path}: cannot be read (${reason})`, {
      flag,
      cause,
    });
  }
}
