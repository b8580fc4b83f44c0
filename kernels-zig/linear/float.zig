//! Float linear on f32 activations: layouts "f32", "f16", "bf16".
//! Blocks of 16 rows; in each, four runs of 4 rows: [k / 16][4 rows][16 columns], zero-padded.
//! Canonical order: 16 lanes, column i goes to lane i mod 16, ascending, fused; then a fixed tree.
const std = @import("std");
const builtin = @import("builtin");
const abi = @import("../abi.zig");
const epilogue = @import("epilogue.zig");
const simd = @import("../simd.zig");
const stream = @import("../stream.zig");

const Linear = abi.args.Linear;
const F = epilogue.F;
const lanes = epilogue.lanes;
const block_rows = abi.block_rows;
/// Rows of W that are multiplied together.
pub const run_rows = 4;
/// Rows of x that are multiplied together: as many as the registers hold.
const tile_rows = if (builtin.cpu.arch == .x86_64 and
    std.Target.x86.featureSetHas(builtin.cpu.features, .avx512f)) 4 else 1;
/// Rows of x in a unit.
const chunk = 32;
/// Weights that a unit reads at least, where there are enough.
const unit_bytes = 64 << 10;

pub const Element = enum { f32, f16, bf16 };

pub fn Float(comptime element: Element) type {
    return struct {
        const Stored = if (element == .f32) f32 else u16;

        fn depth(k: u32) u32 {
            return (k + lanes - 1) / lanes;
        }

        /// Elements of a block of 16 rows.
        fn blockElements(k: u32) u64 {
            return @as(u64, depth(k)) * lanes * block_rows;
        }

        pub fn packedBytes(n: u32, k: u32) callconv(.c) u64 {
            return blockElements(k) * @sizeOf(Stored) * ((n + block_rows - 1) / block_rows);
        }

        /// Packs f32 [rows][k] as rows first_row.. (a multiple of 16) of the matrix.
        pub fn pack(
            source: *const abi.PackSource,
            first_row: u32,
            _: u32,
            out: u64,
        ) callconv(.c) void {
            const values: [*]const f32 = @ptrFromInt(source.values);
            const to: [*]Stored = @ptrFromInt(out);
            const k = source.k;
            const rows = (source.rows + block_rows - 1) / block_rows * block_rows;
            for (0..rows) |row| {
                const block = to + (first_row + row) / block_rows * blockElements(k);
                const r = row % block_rows;
                const to_run = block + r / run_rows * depth(k) * lanes * run_rows;
                for (0..depth(k)) |d| {
                    const at = (to_run + (d * run_rows + r % run_rows) * lanes)[0..lanes];
                    const first = d * lanes;
                    const count = if (row < source.rows) @min(lanes, k - first) else 0;
                    const from = values + row * k + first;
                    if (count == lanes and element == .f16) {
                        at.* = simd.toHalf(simd.load(from));
                        continue;
                    }
                    for (0..count) |i| at[i] = encode(from[i]);
                    @memset(at[count..], 0);
                }
            }
        }

        fn encode(value: f32) Stored {
            return switch (element) {
                .f32 => value,
                .f16 => @bitCast(@as(f16, @floatCast(value))),
                .bf16 => bf16(value),
            };
        }

        inline fn decode(stored: *const [lanes]Stored) F {
            return switch (element) {
                .f32 => stored.*,
                .f16 => simd.fromHalf(stored.*),
                .bf16 => simd.fromBrain(stored.*),
            };
        }

        const Plan = struct {
            rows: u32,
            blocks: u32,
            unit_blocks: u32,
            across: u32,

            fn of(a: *const Linear, step: *const abi.Step) Plan {
                const logits = a.rows == @intFromEnum(abi.Rows.logits);
                const blocks = (a.n + block_rows - 1) / block_rows;
                const bytes = blockElements(a.k) * @sizeOf(Stored);
                const enough: u32 = @intCast((unit_bytes - 1) / bytes + 1);
                const unit = @max((@min(enough, blocks / 16) + 1) & ~@as(u32, 1), 2);
                return .{
                    .rows = if (logits) step.logit_rows else step.rows,
                    .blocks = blocks,
                    .unit_blocks = unit,
                    .across = (blocks + unit - 1) / unit,
                };
            }
        };

        pub fn units(op: *const abi.Op, step: *const abi.Step) callconv(.c) u32 {
            const plan = Plan.of(@ptrCast(&op.args), step);
            return plan.across * ((plan.rows + chunk - 1) / chunk);
        }

        pub fn run(
            op: *const abi.Op,
            step: *const abi.Step,
            _: *const abi.Thread,
            begin: u32,
            end: u32,
        ) callconv(.c) void {
            const a: *const Linear = @ptrCast(&op.args);
            const plan = Plan.of(a, step);
            const gates: u32 = if (a.gate != 0) 2 else 1;
            for (begin..end) |u| {
                const unit: u32 = @intCast(u);
                const first_row = unit / plan.across * chunk;
                const last_row = @min(first_row + chunk, plan.rows);
                const first_block = unit % plan.across * plan.unit_blocks;
                const last_block = @min(first_block + plan.unit_blocks, plan.blocks);
                var block = first_block;
                while (block < last_block) : (block += gates) {
                    blockRows(a, block, gates, first_row, last_row);
                }
            }
        }

        fn blockRows(a: *const Linear, block: u32, gates: u32, first: u32, last: u32) void {
            var row = first;
            while (row < last) {
                const count = @min(tile_rows, last - row);
                inline for (1..tile_rows + 1) |rows| {
                    if (count == rows) {
                        var sums: [2][rows]F = undefined;
                        for (0..gates) |g| {
                            sums[g] = products(rows, a, block + @as(u32, @intCast(g)), row);
                        }
                        for (0..rows) |r| {
                            const up = if (gates == 2) sums[1][r] else sums[0][r];
                            write(a, block, row + @as(u32, @intCast(r)), sums[0][r], up);
                        }
                    }
                }
                row += count;
            }
        }

        fn write(a: *const Linear, block: u32, row: u32, sum: F, up: F) void {
            const column = block * block_rows;
            const first = epilogue.adjust(a, scaled(a, sum, column), column);
            if (a.gate == 0) return epilogue.store(a, first, row, column);
            const next = column + block_rows;
            const second = epilogue.adjust(a, scaled(a, up, next), next);
            epilogue.store(a, epilogue.gated(a, first, second), row, column / 2);
        }

        fn scaled(a: *const Linear, sum: F, column: u32) F {
            return if (a.scale == 0) sum else sum * epilogue.loadColumns(a.scale, column, a.n);
        }

        /// Sums of the block's 16 rows of W for `rows` rows of x.
        fn products(comptime rows: u32, a: *const Linear, block: u32, row: u32) [rows]F {
            const base: [*]const Stored = @ptrFromInt(a.weight);
            const x: [*]const f32 = @ptrFromInt(a.x);
            var sums: [rows][block_rows]f32 = undefined;
            var w = base + block * blockElements(a.k);
            for (0..block_rows / run_rows) |run_index| {
                const accs = runDot(rows, w, x + @as(u64, row) * a.x_stride, a.x_stride, a.k);
                inline for (0..rows) |r| {
                    inline for (0..run_rows) |i| {
                        sums[r][run_index * run_rows + i] = simd.sum(accs[r][i]);
                    }
                }
                w += depth(a.k) * lanes * run_rows;
            }
            var out: [rows]F = undefined;
            inline for (0..rows) |r| out[r] = sums[r];
            return out;
        }

        /// Exact sums of the four rows of W that row `row` (a multiple of 4) begins, for one x [k].
        pub fn fourRows(weight: u64, k: u32, row: u32, x: [*]const f32) [run_rows]f32 {
            const base: [*]const Stored = @ptrFromInt(weight);
            const block = base + row / block_rows * blockElements(k);
            const start = block + row % block_rows / run_rows * depth(k) * lanes * run_rows;
            const accs = runDot(1, start, x, 0, k);
            var sums: [run_rows]f32 = undefined;
            inline for (0..run_rows) |i| sums[i] = simd.sum(accs[0][i]);
            return sums;
        }

        /// 16 columns of a row of W, from `column` (a multiple of 16); zeros past k.
        pub inline fn someColumns(weight: u64, k: u32, row: u32, column: u32) F {
            const base: [*]const Stored = @ptrFromInt(weight);
            const block = base + row / block_rows * blockElements(k);
            const start = block + row % block_rows / run_rows * depth(k) * lanes * run_rows;
            return decode(start[(column / lanes * run_rows + row % run_rows) * lanes ..][0..lanes]);
        }

        inline fn runDot(
            comptime rows: u32,
            w: [*]const Stored,
            x: [*]const f32,
            stride: u32,
            k: u32,
        ) [rows][run_rows]F {
            var accs: [rows][run_rows]F = @splat(@splat(@splat(0)));
            const whole = k / lanes;
            for (0..whole) |d| {
                var inputs: [rows]F = undefined;
                inline for (0..rows) |r| inputs[r] = x[r * stride + d * lanes ..][0..lanes].*;
                multiply(rows, w + d * lanes * run_rows, inputs, &accs);
            }
            if (k % lanes != 0) {
                var inputs: [rows]F = undefined;
                inline for (0..rows) |r| {
                    var tail: [lanes]f32 = @splat(0);
                    for (0..k % lanes) |i| tail[i] = x[r * stride + whole * lanes + i];
                    inputs[r] = tail;
                }
                multiply(rows, w + whole * lanes * run_rows, inputs, &accs);
            }
            return accs;
        }

        inline fn multiply(
            comptime rows: u32,
            w: [*]const Stored,
            inputs: [rows]F,
            accs: *[rows][run_rows]F,
        ) void {
            inline for (0..run_rows * lanes * @sizeOf(Stored) / 64) |line| {
                const at: [*]const u8 = @ptrCast(w);
                stream.ahead(at + line * 64);
            }
            inline for (0..run_rows) |i| {
                const weights = decode(w[i * lanes ..][0..lanes]);
                inline for (0..rows) |r| accs[r][i] = epilogue.fma(weights, inputs[r], accs[r][i]);
            }
        }
    };
}

/// The nearest bf16, ties to even.
fn bf16(value: f32) u16 {
    const bits: u32 = @bitCast(value);
    if (std.math.isNan(value)) return @intCast(bits >> 16 | 0x40);
    return @intCast((bits +% 0x7fff +% (bits >> 16 & 1)) >> 16);
}
