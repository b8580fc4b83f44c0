// Fetches a model from the Hugging Face hub into the shared cache and tells where it lies.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type ListFileEntry, listFiles, modelInfo } from "@huggingface/hub";
import { WrinkleFreeError } from "../../../core/index.ts";
import { checkPath, checkRepo, RepoCache } from "./cache.ts";
import { download, type RemoteFile } from "./download.ts";
import { type HubEnvironment, hubEnvironment } from "./environment.ts";
import { request } from "./request.ts";

export interface HubModel {
  /** owner/name. */
  readonly repo: string;
  /** Branch, tag or commit; default main. */
  readonly revision?: string;
  /** One file of the repo (a GGUF file) instead of a whole checkpoint. */
  readonly file?: string;
}

/** Bytes that are there and bytes in all. */
export type DownloadProgress = (bytes: number, total: number, file: string) => void;

/** Files fetched at once. */
const parallel = 4;

/** What a checkpoint needs besides its tensors. */
const companions: ReadonlySet<string> = new Set([
  "1_Pooling/config.json",
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
]);

/**
 * Path of the snapshot folder, or of the one file asked for. Throws `usage`, `not_found`,
 * `unsupported` (gated), `unavailable` (network), `bad_file` (digest).
 */
export async function fetchModel(
  model: HubModel,
  progress: DownloadProgress = () => {},
  environment: HubEnvironment = hubEnvironment(),
): Promise<string> {
  checkRepo(model.repo);
  const cache = new RepoCache(environment.cache, model.repo);
  const revision = model.revision ?? "main";
  if (environment.offline) return cached(model, revision, cache);
  const { commit, files } = await listing(model.repo, revision, environment);
  const wanted = choose(model, files);
  await fetchFiles(model.repo, commit, wanted, cache, environment, progress);
  cache.remember(revision, commit);
  const folder = cache.snapshot(commit);
  return model.file === undefined ? folder : join(folder, model.file);
}

/**
 * Paths of a repo's files; offline those that were downloaded. Throws as `fetchModel` does.
 */
export async function repoFiles(
  repo: string,
  revision = "main",
  environment: HubEnvironment = hubEnvironment(),
): Promise<string[]> {
  checkRepo(repo);
  if (!environment.offline) {
    return (await listing(repo, revision, environment)).files.map(({ path }) => path);
  }
  const folder = cached({ repo }, revision, new RepoCache(environment.cache, repo));
  return readdirSync(folder, { recursive: true, encoding: "utf8" });
}

async function listing(
  repo: string,
  revision: string,
  environment: HubEnvironment,
): Promise<{ readonly commit: string; readonly files: readonly ListFileEntry[] }> {
  const subject = { repo, revision };
  const ask = ((url: string, init?: RequestInit) =>
    request(url, environment, subject, init?.headers as Record<string, string>)) as typeof fetch;
  const api = { hubUrl: environment.endpoint, fetch: ask };
  const info = await modelInfo({ ...api, name: repo, revision, additionalFields: ["sha"] });
  const commit = String(info.sha);
  checkPath(commit, repo);
  const files: ListFileEntry[] = [];
  const options = { ...api, repo, revision: commit, recursive: true };
  for await (const entry of listFiles(options)) if (entry.type === "file") files.push(entry);
  return { commit, files };
}

/** The snapshot of an earlier download. */
function cached({ repo, file }: HubModel, revision: string, cache: RepoCache): string {
  const commit = cache.commitOf(revision);
  const path = commit && join(cache.snapshot(commit), file ?? "");
  if (path && existsSync(path)) return path;
  throw new WrinkleFreeError("not_found", `${repo} (${revision}) is not in ${cache.root}`, {
    hint: "HF_HUB_OFFLINE is set: unset it to download the model.",
  });
}

/** A checkpoint's files, or the one that was asked for. */
function choose(model: HubModel, entries: readonly ListFileEntry[]): RemoteFile[] {
  const files = entries.map((entry) => remote(entry, model.repo));
  const named = (test: (path: string) => boolean): RemoteFile[] =>
    files.filter(({ path }) => test(path));
  if (model.file !== undefined) {
    const found = files.find(({ path }) => path === model.file);
    if (found) return [found];
    throw new WrinkleFreeError("not_found", `${model.repo} has no file ${model.file}`, {
      flag: "--hf-file",
      hint: `It has ${files.map(({ path }) => path).join(", ")}.`,
    });
  }
  const safetensors = named((path) => /^model[^/]*\.safetensors(\.index\.json)?$/.test(path));
  const pytorch = named((path) => /^pytorch_model[^/]*\.bin(\.index\.json)?$/.test(path));
  const tensors = safetensors.length > 0 ? safetensors : pytorch;
  if (tensors.length > 0) return [...named((path) => companions.has(path)), ...tensors];
  const gguf = files.filter(({ path }) => path.endsWith(".gguf")).map(({ path }) => path);
  throw new WrinkleFreeError("unsupported", `${model.repo} holds no checkpoint`, {
    flag: "--hf-repo",
    hint: gguf.length > 0 ? `Name one of its files with --hf-file: ${gguf.join(", ")}.` : undefined,
  });
}

function remote({ path, size, oid, lfs }: ListFileEntry, repo: string): RemoteFile {
  checkPath(path, repo);
  const digest = lfs?.oid ?? oid ?? "";
  if (!/^[0-9a-f]{40}([0-9a-f]{24})?$/.test(digest)) {
    throw new WrinkleFreeError("bad_file", `${repo} lists no digest for ${path}`, { file: path });
  }
  return { path, size: lfs?.size ?? size, digest, algorithm: lfs ? "sha256" : "git-sha1" };
}

async function fetchFiles(
  repo: string,
  commit: string,
  files: readonly RemoteFile[],
  cache: RepoCache,
  environment: HubEnvironment,
  progress: DownloadProgress,
): Promise<void> {
  const total = files.reduce((sum, file) => sum + file.size, 0);
  let bytes = 0;
  const queue = [...files].sort((a, b) => b.size - a.size);
  const failures: unknown[] = [];
  const drain = async (): Promise<void> => {
    for (let file = queue.shift(); file && failures.length === 0; file = queue.shift()) {
      const { path, digest } = file;
      const escaped = path.split("/").map(encodeURIComponent).join("/");
      const url = `${environment.endpoint}/${repo}/resolve/${commit}/${escaped}`;
      const subject = { repo, revision: commit, file: path };
      const advance = (count: number): void => {
        bytes += count;
        progress(bytes, total, path);
      };
      try {
        await download(url, file, cache.blob(digest), environment, subject, advance);
        cache.link(commit, path, digest);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: parallel }, drain));
  if (failures.length > 0) throw failures[0];
}
