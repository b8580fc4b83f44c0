// Models on this machine: those of the hub's shared cache, and GGUF files that pull has made.
import {
  type Dirent,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { hubEnvironment } from "../convert/hub/environment.ts";
import type { ModelName } from "./name.ts";

/** A model that commands can open by its name. */
export interface LocalModel {
  /** owner/name, with :file.gguf where the repository has several. */
  readonly name: string;
  /** `gguf`: as downloaded; `converted`: made by pull; `checkpoint`: a folder of the hub's cache. */
  readonly kind: "gguf" | "converted" | "checkpoint";
  readonly path: string;
  readonly bytes: number;
  /** ISO date of the file. */
  readonly modified: string;
}

/** Where pull keeps what it converts: WRINKLEFREE_HOME, else XDG's data folder. */
export function storeFolder(variables: NodeJS.ProcessEnv = process.env): string {
  if (variables.WRINKLEFREE_HOME) return join(variables.WRINKLEFREE_HOME, "models");
  const data = variables.XDG_DATA_HOME || join(variables.HOME ?? homedir(), ".local", "share");
  return join(data, "wrinklefree", "models");
}

/** Folder of one repository's conversions; below it one folder for each commit. */
export const convertedFolder = (repo: string): string => join(storeFolder(), repo);

const cachedFolder = (repo: string): string =>
  join(hubEnvironment().cache, `models--${repo.replaceAll("/", "--")}`);

function entries(folder: string): Dirent[] {
  return existsSync(folder) ? readdirSync(folder, { withFileTypes: true }) : [];
}

const folders = (folder: string): string[] =>
  entries(folder)
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);

/** Every model here, by name. */
export function localModels(): LocalModel[] {
  const store = storeFolder();
  const converted = folders(store).flatMap((owner) =>
    folders(join(store, owner)).flatMap((name) => conversions(`${owner}/${name}`)),
  );
  const cached = folders(hubEnvironment().cache)
    .filter((name) => name.startsWith("models--"))
    .flatMap((name) => snapshot(name.slice("models--".length).replace("--", "/")));
  return [...converted, ...cached].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A repository's conversions, newest first. */
function conversions(repo: string): LocalModel[] {
  const root = convertedFolder(repo);
  return folders(root)
    .flatMap((commit) => entries(join(root, commit)).map(({ name }) => join(root, commit, name)))
    .filter((path) => path.endsWith(".gguf"))
    .map((path) => describe(repo, "converted", path))
    .sort((a, b) => (a.modified > b.modified ? -1 : 1));
}

/** What the hub's cache has of a repository's main branch. */
function snapshot(repo: string): LocalModel[] {
  const root = cachedFolder(repo);
  const ref = join(root, "refs", "main");
  if (!existsSync(ref)) return [];
  const folder = join(root, "snapshots", readFileSync(ref, "utf8").trim());
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) =>
    existsSync(join(folder, path)),
  );
  const gguf = files.filter((path) => path.endsWith(".gguf"));
  if (gguf.length > 0) {
    const own = (file: string): string => (gguf.length === 1 ? repo : `${repo}:${file}`);
    return gguf.map((file) => describe(own(file), "gguf", join(folder, file)));
  }
  const tensors = files.filter((path) => /\.(safetensors|bin)$/.test(path));
  if (tensors.length === 0 || !files.includes("config.json")) return [];
  const bytes = tensors.reduce((sum, path) => sum + statSync(join(folder, path)).size, 0);
  return [{ ...describe(repo, "checkpoint", folder), bytes }];
}

function describe(name: string, kind: LocalModel["kind"], path: string): LocalModel {
  const { size, mtime } = statSync(path);
  return { name, kind, path, bytes: size, modified: mtime.toISOString() };
}

/** The file that a name means, if it is here and needs no conversion. */
export function findLocal({ repo, file }: ModelName): LocalModel | undefined {
  const here = [...conversions(repo), ...snapshot(repo)].filter(
    ({ kind }) => kind !== "checkpoint",
  );
  if (file === undefined) return here[0];
  return here.find(({ path }) => path.endsWith(`/${file}`));
}

/** Deletes all that is here of a repository; returns the bytes that this gives back. */
export function removeModel(repo: string): number {
  const places = [convertedFolder(repo), cachedFolder(repo)].filter((path) => existsSync(path));
  let bytes = 0;
  for (const place of places) {
    for (const path of readdirSync(place, { recursive: true, encoding: "utf8" })) {
      // Links to the blobs are counted where the blobs are.
      const entry = lstatSync(join(place, path));
      if (entry.isFile()) bytes += entry.size;
    }
    rmSync(place, { recursive: true });
  }
  return bytes;
}
