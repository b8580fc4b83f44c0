// Opens a kernel library and reads the table of ops that it offers.
import { CString, dlopen, type Pointer, read } from "bun:ffi";
import { fileURLToPath } from "node:url";
import { WrinkleFreeError } from "../errors.ts";
import { layouts, version } from "./abi.ts";
import { dataView } from "./memory.ts";
import { readStruct } from "./struct.ts";

/** An op implementation. Functions are addresses, 0 where there is none. */
export interface NativeEntry {
  readonly op: string;
  /** Layout of a linear, storage format of an unpack, else "". */
  readonly format: string;
  readonly run: number;
  readonly units: number;
  readonly packedBytes: number;
  readonly pack: number;
  readonly unpack: number;
  /** How a linear wants its input: `Input` of abi.ts. */
  readonly input: number;
  readonly priority: number;
  readonly grain: number;
  /** Name and ISA of the library that it comes from. */
  readonly library: string;
  readonly isa: string;
}

export interface NativeLibrary {
  readonly path: string;
  readonly name: string;
  readonly isa: string;
  readonly entries: readonly NativeEntry[];
  /** Address of the runtime's functions, 0 in a third party's library. */
  readonly host: number;
}

const opened = new Map<string, NativeLibrary>();

/**
 * Loads the shared library at `library`. It stays loaded: its functions may be on a tape. Throws
 * `not_found` where it cannot be loaded, `plugin` where its table breaks the contract.
 */
export function openLibrary(library: string | URL): NativeLibrary {
  const path = library instanceof URL ? fileURLToPath(library) : library;
  const known = opened.get(path);
  if (known !== undefined) return known;
  const found = readLibrary(path, tableAddress(path));
  opened.set(path, found);
  return found;
}

function tableAddress(path: string): number {
  try {
    const symbols = { wf_library: { args: [], returns: "ptr" } } as const;
    const address = dlopen(path, symbols).symbols.wf_library();
    if (address !== null) return Number(address);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new WrinkleFreeError("not_found", `kernel library ${path} does not load: ${reason}`, {
      file: path,
      hint: "build the project's own libraries with `npm run setup`",
      cause,
    });
  }
  throw broken(path, "wf_library() returned null");
}

function readLibrary(path: string, address: number): NativeLibrary {
  const abi = read.u32(address as Pointer, 0);
  const size = read.u32(address as Pointer, 4);
  if (abi !== version) throw broken(path, `it has interface version ${abi}, not ${version}`);
  if (size < layouts.Library.size) {
    throw broken(path, `its table has ${size} bytes, not ${layouts.Library.size}`);
  }
  const table = readStruct(dataView(address, size), 0, layouts.Library);
  if (table.entrySize < layouts.Entry.size || table.entryCount > 4096) {
    throw broken(path, `${table.entryCount} entries of ${table.entrySize} bytes`);
  }
  const name = text(path, table.name);
  const isa = text(path, table.isa);
  const entries = Array.from({ length: table.entryCount }, (_, i) =>
    readEntry(path, table.entries + i * table.entrySize, name, isa),
  );
  return { path, name, isa, entries, host: table.host };
}

function readEntry(path: string, address: number, library: string, isa: string): NativeEntry {
  const entry = readStruct(dataView(address, layouts.Entry.size), 0, layouts.Entry);
  const op = text(path, entry.op);
  const format = text(path, entry.format);
  if (op === "unpack" ? entry.unpack === 0 : entry.run === 0 || entry.units === 0) {
    throw broken(path, `op ${op} ${format} lacks its functions`);
  }
  if ((entry.pack === 0) !== (entry.packedBytes === 0)) {
    throw broken(path, `op ${op} ${format} has only one of pack and packed_bytes`);
  }
  return { ...entry, op, format, library, isa, grain: Math.max(1, entry.grain) };
}

function text(path: string, address: number): string {
  if (address === 0) throw broken(path, "a name is null");
  return new CString(address as Pointer).toString();
}

function broken(path: string, what: string): WrinkleFreeError {
  return new WrinkleFreeError("plugin", `kernel library ${path}: ${what}`, {
    file: path,
    hint: "rebuild it against this version's kernels-zig/include/wrinklefree.h",
  });
}
