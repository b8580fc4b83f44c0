// Times the screened head beside the full one: bun bench/kernels/head.ts [--shape 32064x2560] [--threads 2] [--rows 1] [--top 1,40]
import { parseArgs } from "node:util";
import { layouts } from "../../core/native/abi.ts";
import { addressOf } from "../../core/native/memory.ts";
import { openKernels } from "../../core/native/select.ts";
import { writeStruct } from "../../core/native/struct.ts";
import plugin from "../../plugins/kernels-cpu/index.ts";

const { values: flags } = parseArgs({
  options: {
    isa: { type: "string" },
    threads: { type: "string", default: "1" },
    shape: { type: "string", default: "32064x2560" },
    rows: { type: "string", default: "1" },
    top: { type: "string", default: "1,40" },
    rounds: { type: "string", default: "20" },
  },
});
const [n = 0, k = 0] = flags.shape.split("x").map(Number);
const rows = Number(flags.rows);
const native = openKernels(plugin.kernels ?? [], flags.isa ? { isa: flags.isa } : {});
using pool = native.host.createPool(Number(flags.threads));

/** Roughly normal: the sum of three uniforms. */
const normal = () => Math.random() + Math.random() + Math.random() - 1.5;
const weights = Float32Array.from({ length: n * k }, normal);
const x = Float32Array.from({ length: rows * k }, normal);
const linear = native.find("linear", "f16");
const columns = native.find("head_columns", "f16");
const screen = native.find("head_screen");
if (!linear || !columns || !screen) throw new Error("no head in this library");
using weight = native.host.alloc(native.host.packedBytes(linear, n, k));
using plane = native.host.alloc(native.host.packedBytes(columns, n, k));
using work = native.host.alloc(rows * native.host.packedBytes(screen, n, k));
using logits = native.host.alloc(rows * n * 4);
const counts = new Uint32Array(rows);
native.host.pack(pool, {
  source: addressOf(weights),
  sourceBytes: weights.byteLength,
  pack: linear.pack,
  out: weight.address,
  n,
  k,
  blockStep: 1,
  float: 1,
  totalRows: n,
});

/** Milliseconds of the whole, and of each op. */
function run(names: readonly string[], top: number): { total: number; parts: number[] } {
  const ops = new DataView(new ArrayBuffer(layouts.Op.size * names.length));
  names.forEach((name, i) => {
    const entry = native.find(name, "f16") ?? native.find(name);
    if (!entry) throw new Error(`no op ${name}`);
    const at = i * layouts.Op.size;
    writeStruct(ops, at, layouts.Op, { run: entry.run, units: entry.units, grain: 1, tag: i });
    const args = at + layouts.Op.fields.args.offset;
    if (name === "linear") {
      writeStruct(ops, args, layouts.Linear, {
        x: addressOf(x),
        weight: weight.address,
        out: logits.address,
        xStride: k,
        outStride: n,
        n,
        k,
        multiplier: 1,
      });
      return;
    }
    writeStruct(ops, args, layouts.Head, {
      x: addressOf(x),
      weight: weight.address,
      plane: plane.address,
      work: work.address,
      logits: logits.address,
      counts: addressOf(counts),
      xStride: k,
      logitsStride: n,
      n,
      k,
      top,
      multiplier: 1,
    });
  });
  const step = new DataView(new ArrayBuffer(layouts.Step.size));
  writeStruct(step, 0, layouts.Step, { rows, logitRows: rows });
  const times = new BigUint64Array(names.length);
  const before = Bun.nanoseconds();
  native.host.run(pool, addressOf(ops), names.length, addressOf(step), addressOf(times));
  const total = (Bun.nanoseconds() - before) / 1e6;
  return { total, parts: [...times].map((t) => Number(t) / 1e6) };
}

const build = run(["head_columns", "head_pack"], 1);
console.log(`${native.isa}, ${pool.threads} threads, [${n}, ${k}] f16, ${rows} rows`);
console.log(`plane built in ${build.total.toFixed(1)} ms`);
const screened = ["prepare", "screen", "threshold", "rescore", "top"].map((name) => `head_${name}`);
for (const top of flags.top.split(",").map(Number)) {
  let best = run(screened, top);
  let full = Number.POSITIVE_INFINITY;
  for (let i = 0; i < Number(flags.rounds); i++) {
    const found = run(screened, top);
    if (found.total < best.total) best = found;
    full = Math.min(full, run(["linear"], 1).total);
  }
  const parts = best.parts.map((t) => t.toFixed(2)).join(" + ");
  const evaluated = counts.reduce((a, b) => a + b, 0) / rows;
  console.log(`top ${top}: full ${full.toFixed(2)} ms, screened ${best.total.toFixed(2)} ms`);
  console.log(`  prepare + screen + threshold + rescore + top: ${parts}; ${evaluated} rows exact`);
}
