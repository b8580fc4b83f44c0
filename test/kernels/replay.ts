// Runs ops of the aarch64 libraries under an emulator, through files that kernels-zig/replay.zig reads.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { layouts } from "../../core/native/abi.ts";
import { writeStruct } from "../../core/native/struct.ts";
import type { EncodedStep, TestArguments, TestLibrary, TestOp } from "./harness.ts";

const root = join(import.meta.dir, "../..");
const headerBytes = 32;
const nameBytes = 32;
const actionBytes = 3 * nameBytes + 8 + layouts.Op.size;

/** The aarch64 libraries, neon first, where this is another CPU and qemu-aarch64-static is installed. */
export const emulated: readonly TestLibrary[] = findEmulated();

function findEmulated(): TestLibrary[] {
  if (process.arch === "arm64") return [];
  const emulator = Bun.which("qemu-aarch64-static");
  if (emulator === null) {
    console.warn("NEON kernels are not tested here: qemu-aarch64-static is not installed");
    return [];
  }
  const zig = join(root, "node_modules/.bin/zig");
  const built = Bun.spawnSync([zig, "build", "test-neon"], { cwd: root, stderr: "inherit" });
  if (built.exitCode !== 0) throw new Error("`zig build test-neon` failed");
  return ["neon", "generic"].map((isa) => ({
    isa: `aarch64 ${isa}`,
    run: (ops, step, threads) =>
      replay([emulator, join(root, `zig-out/bin/replay-${isa}`)], ops, step, threads),
  }));
}

/** A file that grows, and the arrays that lie in it. */
class Image {
  readonly chunks: { at: number; bytes: Uint8Array }[] = [];
  readonly relocations: number[] = [];
  readonly #offsets = new Map<ArrayBufferLike, number>();
  size: number;

  constructor(size: number) {
    this.size = size;
  }

  /** The offset of an array; arrays of one buffer stay together. */
  place(array: ArrayBufferView): number {
    let at = this.#offsets.get(array.buffer);
    if (at === undefined) {
      at = Math.ceil(this.size / 64) * 64;
      const bytes = new Uint8Array(array.buffer);
      this.#offsets.set(array.buffer, at);
      this.chunks.push({ at, bytes });
      // Vectors may read past an array's end as far as its line.
      this.size = at + bytes.length + 64;
    }
    return at + array.byteOffset;
  }

  /** Argument values; arrays become offsets, noted as relocations of the struct at `base`. */
  values(args: TestArguments, struct: keyof typeof layouts, base: number): Record<string, number> {
    const fields: Readonly<Record<string, { offset: number }>> = layouts[struct].fields;
    const values: Record<string, number> = {};
    for (const [name, value] of Object.entries(args)) {
      values[name] = typeof value === "number" ? value : this.place(value);
      if (typeof value !== "number") this.relocations.push(base + (fields[name]?.offset ?? 0));
    }
    return values;
  }
}

function replay(
  command: string[],
  ops: readonly TestOp[],
  step: EncodedStep,
  threads: number,
): void {
  const pointers = [step, ...ops.map((op) => op.args)]
    .flatMap((args) => Object.values(args))
    .filter((value) => typeof value !== "number").length;
  const tables = headerBytes + ops.length * actionBytes + pointers * 8;
  const stepAt = Math.ceil(tables / 64) * 64;
  const image = new Image(stepAt + layouts.Step.size);
  const head = new DataView(new ArrayBuffer(stepAt + layouts.Step.size));
  writeStruct(head, stepAt, layouts.Step, image.values(step, "Step", stepAt));
  ops.forEach((op, i) => {
    writeAction(head, headerBytes + i * actionBytes, op, image);
  });
  image.relocations.forEach((at, i) => {
    head.setBigUint64(headerBytes + ops.length * actionBytes + i * 8, BigInt(at), true);
  });
  head.setBigUint64(0, BigInt(image.size), true);
  head.setUint32(8, ops.length, true);
  head.setUint32(12, pointers, true);
  head.setUint32(16, threads, true);
  head.setBigUint64(24, BigInt(stepAt), true);
  const file = new Uint8Array(image.size);
  file.set(new Uint8Array(head.buffer));
  for (const { at, bytes } of image.chunks) file.set(bytes, at);
  runFile(command, file, image);
}

function writeAction(head: DataView, at: number, op: TestOp, image: Image): void {
  const name = (offset: number, text: string) =>
    new Uint8Array(head.buffer).set(new TextEncoder().encode(text), at + offset);
  name(0, op.op);
  name(nameBytes, op.format ?? "");
  name(2 * nameBytes, op.unpack ?? "");
  head.setUint32(at + 3 * nameBytes, op.struct === "PackJob" ? 1 : 0, true);
  const args = at + 3 * nameBytes + 8 + layouts.Op.fields.args.offset;
  writeStruct(head, args, layouts[op.struct], image.values(op.args, op.struct, args));
}

/** Runs the file and copies what the ops wrote back to the arrays. */
function runFile(command: string[], file: Uint8Array, image: Image): void {
  const folder = mkdtempSync(join(tmpdir(), "wrinklefree-replay-"));
  try {
    const path = join(folder, "ops");
    writeFileSync(path, file);
    const result = Bun.spawnSync([...command, path], { stderr: "pipe" });
    if (result.exitCode !== 0) {
      throw new Error(`${command.join(" ")}: ${result.exitCode} ${result.stderr.toString()}`);
    }
    const after = readFileSync(path);
    for (const { at, bytes } of image.chunks) bytes.set(after.subarray(at, at + bytes.length));
  } finally {
    if (existsSync(folder)) rmSync(folder, { recursive: true });
  }
}
