// Unpacks what an executable carries (kernels, data files) into a private folder, since dlopen needs files.
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { cacheFolder } from "../eval/python.ts";

/** A file's path from the project's root, and where the executable holds it. */
export type Packed = readonly [path: string, embedded: string];

/**
 * Writes the files below `folder`, or below a new temporary one that is removed at exit where `folder`
 * is not writable or not this user's alone. What is there already is compared byte for byte, and
 * written anew under a temporary name where it differs. Returns the folder.
 */
export function unpack(
  files: readonly Packed[],
  folder = join(cacheFolder(), `files-${process.platform}-${process.arch}`),
): string {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (isPrivate(folder)) return unpackInto(folder, files);
  } catch {
    // Read-only or full: the temporary folder is tried.
  }
  const temporary = mkdtempSync(join(tmpdir(), "wrinklefree-"));
  process.once("exit", () => rmSync(temporary, { recursive: true, force: true }));
  return unpackInto(temporary, files);
}

function unpackInto(folder: string, files: readonly Packed[]): string {
  for (const [path, embedded] of files) {
    const bytes = readFileSync(embedded);
    const target = join(folder, path);
    if (existsSync(target) && readFileSync(target).equals(bytes)) continue;
    mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
    const temporary = `${target}.${process.pid}`;
    writeFileSync(temporary, bytes, { mode: 0o600, flag: "wx" });
    chmodSync(temporary, 0o500);
    renameSync(temporary, target);
  }
  return folder;
}

/** A folder that nobody else can put a library into. */
function isPrivate(folder: string): boolean {
  const { uid, mode } = lstatSync(folder);
  return process.getuid === undefined || (uid === process.getuid() && (mode & 0o022) === 0);
}
