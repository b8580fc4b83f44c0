// Libraries load and describe themselves; memory, files and the pool work from TypeScript.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLibrary } from "../../core/native/library.ts";
import { addressOf, bytesView, floatView } from "../../core/native/memory.ts";
import { openKernels } from "../../core/native/select.ts";
import plugin from "../../plugins/kernels-cpu/index.ts";

const kernels = plugin.kernels ?? [];
const native = openKernels(kernels);
const { host } = native;
const folder = mkdtempSync(join(tmpdir(), "wrinklefree-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("memory is zeroed, aligned and writable to its end", () => {
  for (const bytes of [64, 4096, 3 << 20]) {
    using region = host.alloc(bytes);
    expect(region.address % 64).toBe(0);
    const view = bytesView(region.address, bytes);
    expect(view.every((byte) => byte === 0)).toBe(true);
    view[bytes - 1] = 7;
    expect(bytesView(region.address + bytes - 1, 1)[0]).toBe(7);
  }
  expect(() => host.alloc(2 ** 46)).toThrow("no memory");
  expect(() => host.alloc(0)).toThrow("0 bytes");
});

test("a region is not used after it is disposed", () => {
  const region = host.alloc(4096);
  region[Symbol.dispose]();
  expect(() => region.address).toThrow("after free");
  region[Symbol.dispose]();
});

test("a file is mapped whole and read-only", () => {
  const path = join(folder, "data");
  writeFileSync(path, Buffer.from([1, 2, 3]));
  using file = host.mapFile(path);
  expect([...bytesView(file.address, file.bytes)]).toEqual([1, 2, 3]);
  writeFileSync(join(folder, "empty"), "");
  expect(() => host.mapFile(join(folder, "empty"))).toThrow("is empty");
  expect(() => host.mapFile(join(folder, "nothing"))).toThrow("no such file");
  expect(() => host.mapFile(folder)).toThrow("not a file");
});

/** Bytes of the mapping at an address that are in this process's memory. */
function residentAt(address: number): number {
  const maps = readFileSync("/proc/self/smaps", "utf8");
  const own = maps.slice(maps.search(new RegExp(`^0*${address.toString(16)}-`, "m")));
  return 1024 * Number(/^Rss:\s+(\d+) kB/m.exec(own)?.[1]);
}

test("pages of a mapped file are given back and come again; other memory stays", () => {
  const path = join(folder, "pages");
  const bytes = Buffer.alloc(1 << 20, 7);
  writeFileSync(path, bytes);
  using file = host.mapFile(path);
  const view = bytesView(file.address, file.bytes);
  expect(bytes.equals(view)).toBe(true);
  if (process.platform === "linux") expect(residentAt(file.address)).toBe(file.bytes);
  host.release(file.address, file.bytes);
  if (process.platform === "linux") expect(residentAt(file.address)).toBe(0);
  expect(bytes.equals(view)).toBe(true);
  using region = host.alloc(1 << 20);
  const memory = bytesView(region.address, region.bytes).fill(5);
  host.release(region.address, region.bytes);
  expect(memory.every((byte) => byte === 5)).toBe(true);
});

test("copy copies", () => {
  const from = new Uint8Array([1, 2, 3, 4]);
  const to = new Uint8Array(4);
  host.copy(addressOf(to), addressOf(from), 3);
  expect([...to]).toEqual([1, 2, 3, 0]);
});

test("rope tables equal float64 mathematics to float32 rounding", () => {
  const positions = 600;
  const dimensions = 10;
  const factors = new Float32Array([1, 1, 2, 4, 8]);
  const table = new Float32Array(positions * dimensions);
  const options = { positions, dimensions, theta: 500000, scale: 0.5, magnitude: 1.5, factors };
  host.ropeTable(addressOf(table), options);
  for (let p = 0; p < positions; p += 1) {
    for (let i = 0; i < dimensions / 2; i += 1) {
      const angle = (p * 0.5 * 500000 ** ((-2 * i) / dimensions)) / factors[i]!;
      const at = (p * (dimensions / 2) + i) * 2;
      expect(Math.abs(table[at]! - 1.5 * Math.cos(angle))).toBeLessThan(1.2e-7);
      expect(Math.abs(table[at + 1]! - 1.5 * Math.sin(angle))).toBeLessThan(1.2e-7);
    }
  }
});

test("rope tables hold at large positions", () => {
  const positions = 1_000_001;
  using region = host.alloc(positions * 2 * 4);
  host.ropeTable(region.address, { positions, dimensions: 2, theta: 10000 });
  const table = floatView(region.address, positions * 2);
  for (const p of [131_071, 999_999, 1_000_000]) {
    expect(table[2 * p]).toBeCloseTo(Math.cos(p), 6);
    expect(table[2 * p + 1]).toBeCloseTo(Math.sin(p), 6);
  }
});

test("pools start and stop; bad thread counts are refused", () => {
  for (const threads of [1, 2, 4]) host.createPool(threads)[Symbol.dispose]();
  for (const threads of [0, 257, 1.5, Number.NaN]) {
    expect(() => host.createPool(threads)).toThrow("threads must be 1..256");
  }
});

test("every library that fits describes itself, and WF_ISA chooses", () => {
  for (const isa of native.isa === "generic" ? ["generic"] : ["generic", native.isa]) {
    const forced = openKernels(kernels, { isa });
    expect(forced.isa).toBe(isa);
    expect(forced.entries.every((entry) => entry.isa === isa)).toBe(true);
  }
  expect(() => openKernels(kernels, { isa: "pentium" })).toThrow("WF_ISA=pentium");
});

test("missing and foreign libraries give clear errors", () => {
  expect(() => openKernels([])).toThrow("not built");
  expect(() => openKernels([{ name: "x", library: join(folder, "x.so") }])).toThrow("not built");
  const path = join(folder, "text.so");
  writeFileSync(path, "not a library");
  expect(() => openLibrary(path)).toThrow(`${path} does not load`);
  const odd = { name: "odd", library: kernels[0]!.library, needs: ["quantum"] };
  expect(() => openKernels([...kernels, odd])).toThrow('needs "quantum": unknown feature');
});
