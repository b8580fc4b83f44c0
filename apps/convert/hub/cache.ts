// The hub cache on disk, as huggingface_hub lays it out: blobs, snapshots that link to them, refs.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { WrinkleFreeError } from "../../../core/index.ts";

export class RepoCache {
  readonly root: string;

  constructor(cache: string, repo: string) {
    this.root = join(cache, `models--${repo.replaceAll("/", "--")}`);
  }

  /** A file's content by its digest. */
  blob(digest: string): string {
    return join(this.root, "blobs", digest);
  }

  snapshot(commit: string): string {
    return join(this.root, "snapshots", commit);
  }

  /** The commit that a branch or tag stood for when it was last asked for. */
  commitOf(revision: string): string | undefined {
    const ref = join(this.root, "refs", revision);
    if (existsSync(ref)) return readFileSync(ref, "utf8").trim();
    return existsSync(this.snapshot(revision)) ? revision : undefined;
  }

  remember(revision: string, commit: string): void {
    if (revision === commit) return;
    const ref = join(this.root, "refs", revision);
    mkdirSync(dirname(ref), { recursive: true });
    writeFileSync(`${ref}.new`, commit);
    renameSync(`${ref}.new`, ref);
  }

  /** Makes `path` of the snapshot show the blob: a link, or a copy where links are not allowed. */
  link(commit: string, path: string, digest: string): void {
    const target = join(this.snapshot(commit), path);
    if (existsSync(target)) return;
    mkdirSync(dirname(target), { recursive: true });
    try {
      symlinkSync(relative(dirname(target), this.blob(digest)), target);
    } catch {
      copyFileSync(this.blob(digest), target);
    }
  }
}

/** Throws `usage` for anything but owner/name. */
export function checkRepo(repo: string): void {
  if (/^[\w.-]+\/[\w.-]+$/.test(repo) && !repo.includes("..")) return;
  throw new WrinkleFreeError("usage", `--hf-repo ${repo}: not of the form owner/name`, {
    flag: "--hf-repo",
    hint: "For example: --hf-repo microsoft/bitnet-b1.58-2B-4T",
  });
}

/** Throws `bad_file` for a path that would leave its folder. */
export function checkPath(path: string, repo: string): void {
  const parts = path.split("/");
  const fine = !path.startsWith("/") && !path.includes("\\") && !path.includes("\0");
  if (fine && parts.every((part) => part !== "" && part !== "." && part !== "..")) return;
  throw new WrinkleFreeError("bad_file", `${repo} lists a file named ${JSON.stringify(path)}`);
}
