//! The coarse plane of a head: 4 bits a weight with a shared subtractive dither, and how it is made.
//!
//! With column means mu, column scales s and one dither d[k] in (-1/2, 1/2) for all rows, row j holds
//!   q[k] = round((w[k] - mu[k]) / (s[k] D) + d[k]) + 8     in 1..15
//! and activations are in 8 bits, with a dither e[k] of their own: y = s x, v = round(y / step + e).
//! Then mu . x + D step sum((q - 8 - d) (v - e)) estimates w . x. Its error is the sum of two sums of
//! independent uniform variables (over the draw of d and e, on which neither w nor x depends):
//!   D sum(eps y), sub-Gaussian with sigma = D |y| / sqrt(12);
//!   D step sum((q - 8 - d) eta), given d the same with D step |q - 8 - d| / sqrt(12), and |q - 8 - d|
//!   is at most |w - mu| / (s D) + sqrt(k) / 2 whatever d is, so that the variances add.
//! Mean and scale may be any numbers: they only make D small. They are taken from a sample of rows.
//! Codes are in blocks of 16 rows x 8 columns (64 bytes): byte r * 4 + j holds the code of column
//! 8b + j in its low half and of 8b + 4 + j in its high half. Blocks of 16 rows are adjacent.
//! Rows that are not finite have no estimate: norm and offset are infinite, nothing bounds them.
const std = @import("std");
const abi = @import("../abi.zig");
const simd = @import("../simd.zig");

const lanes = simd.lanes;
const Lanes = simd.Lanes;
const Head = abi.args.Head;
pub const block_bytes = 64;
pub const block_columns = 8;
pub const zero_code = 8;
/// Just under the largest |q - 8|, so that the dither never lifts a code past it.
const levels = 6.999;
/// Columns of a row that are kept while its codes are made; a multiple of 16.
const kept_columns = 8192;
/// Blocks of 16 rows whose means and deviations stand for all.
const sample_blocks = 64;

/// Columns rounded up to whole vectors, and to what activations are padded to.
pub fn paddedColumns(k: u32) u32 {
    return (k + 63) / 64 * 64;
}

pub fn rowBlocks(n: u32) u32 {
    return (n + lanes - 1) / lanes;
}

/// Floats that a plane keeps for each column and for each row.
const column_arrays = 5;
const row_arrays = 3;

/// Where the parts of a plane are.
pub const Plane = struct {
    /// Largest norm of a row, as f32 bits.
    largest: *u32,
    mean: [*]f32,
    scale: [*]f32,
    /// 1 / scale, rounded: what that does to a row is far below what the bounds allow for rounding.
    inverse: [*]f32,
    dither: [*]f32,
    /// e, zero in columns past k.
    input_dither: [*]f32,
    /// D of each row.
    step: [*]f32,
    /// Bound of |q - 8 - d| of each row.
    norm: [*]f32,
    /// sum((q - 8 - d) e) of each row.
    offset: [*]f32,
    codes: [*]u8,
    /// Bytes of the codes of 16 rows.
    stride: u64,

    pub fn of(a: *const Head) Plane {
        const columns = paddedColumns(a.k);
        const floats: [*]f32 = @ptrFromInt(a.plane);
        const step = floats + lanes + column_arrays * columns;
        const rows = rowBlocks(a.n) * lanes;
        return .{
            .largest = @ptrFromInt(a.plane),
            .mean = floats + lanes,
            .scale = floats + lanes + columns,
            .inverse = floats + lanes + 2 * columns,
            .dither = floats + lanes + 3 * columns,
            .input_dither = floats + lanes + 4 * columns,
            .step = step,
            .norm = step + rows,
            .offset = step + 2 * rows,
            .codes = @ptrCast(step + row_arrays * rows),
            .stride = columns / block_columns * block_bytes,
        };
    }
};

pub fn bytes(n: u32, k: u32) callconv(.c) u64 {
    const columns: u64 = paddedColumns(k);
    const codes = rowBlocks(n) * columns / block_columns * block_bytes;
    const rows = @as(u64, rowBlocks(n)) * lanes;
    return codes + 4 * (lanes + column_arrays * columns + row_arrays * rows);
}

fn argsOf(op: *const abi.Op) *const Head {
    return @ptrCast(&op.args);
}

pub fn one(_: *const abi.Op, _: *const abi.Step) callconv(.c) u32 {
    return 1;
}

pub fn packUnits(op: *const abi.Op, _: *const abi.Step) callconv(.c) u32 {
    const a = argsOf(op);
    return if (a.blocks == 0) rowBlocks(a.n) else a.blocks;
}

pub fn Build(comptime layout: type) type {
    return struct {
        /// Means, scales and the dithers.
        pub fn columns(
            op: *const abi.Op,
            _: *const abi.Step,
            _: *const abi.Thread,
            _: u32,
            _: u32,
        ) callconv(.c) void {
            const a = argsOf(op);
            const plane = Plane.of(a);
            plane.largest.* = 0;
            var random = std.Random.SplitMix64.init(0x9e3779b97f4a7c15);
            for (0..paddedColumns(a.k)) |i| {
                plane.dither[i] = uniform(&random);
                const input = uniform(&random);
                plane.input_dither[i] = if (i < a.k) input else 0;
            }
            const all = rowBlocks(a.n);
            const every = (all + sample_blocks - 1) / sample_blocks;
            var column: u32 = 0;
            while (column < paddedColumns(a.k)) : (column += lanes) {
                var sum = simd.zero;
                var squares = simd.zero;
                var count: f32 = 0;
                var block: u32 = 0;
                while (block < all and column < a.k) : (block += every) {
                    for (block * lanes..@min(a.n, (block + 1) * lanes)) |row| {
                        const w = layout.someColumns(a.weight, a.k, @intCast(row), column);
                        const finite = @abs(w) < simd.splat(std.math.inf(f32));
                        const used = @select(f32, finite, w, simd.zero);
                        sum += used;
                        squares += used * used;
                        count += 1;
                    }
                }
                const mean = sum / simd.splat(@max(count, 1));
                const variance = squares / simd.splat(@max(count, 1)) - mean * mean;
                const usable = variance > simd.splat(1e-20);
                const spread = @sqrt(@select(f32, usable, variance, simd.splat(1e-20)));
                simd.store(plane.mean + column, mean);
                simd.store(plane.scale + column, spread);
                simd.store(plane.inverse + column, simd.splat(1) / spread);
            }
        }

        /// Codes of blocks begin..end-1 of 16 rows, counted from the op's first one.
        pub fn pack(
            op: *const abi.Op,
            _: *const abi.Step,
            _: *const abi.Thread,
            begin: u32,
            end: u32,
        ) callconv(.c) void {
            const a = argsOf(op);
            const plane = Plane.of(a);
            for (begin..end) |b| {
                const block = a.first_block + @as(u32, @intCast(b));
                const codes = plane.codes + block * plane.stride;
                for (0..lanes) |r| {
                    const row = block * lanes + @as(u32, @intCast(r));
                    packRow(a, plane, row, codes + r * 4);
                }
            }
        }

        fn packRow(a: *const Head, plane: Plane, row: u32, out: [*]u8) void {
            var most = simd.zero;
            var squares = simd.zero;
            var scaled_squares = simd.zero;
            // Decoded once, unless the row is very long.
            var kept: [kept_columns]f32 = undefined;
            const keeps = a.k <= kept_columns;
            var column: u32 = 0;
            while (column < a.k) : (column += lanes) {
                const w = layout.someColumns(a.weight, a.k, row, column);
                const u = scaled(plane, w, column);
                if (keeps) simd.store(@ptrCast(&kept[column]), u);
                most = simd.larger(@abs(u), most);
                squares += w * w;
                scaled_squares += u * u;
            }
            const largest = simd.largest(most);
            const norm = @sqrt(simd.sum(squares));
            const scaled_norm = @sqrt(simd.sum(scaled_squares));
            if (!std.math.isFinite(norm + scaled_norm)) return packUnbounded(a, plane, row, out);
            _ = @atomicRmw(u32, plane.largest, .Max, @bitCast(norm), .monotonic);
            const step = if (largest > 0) largest / levels else 1e-20;
            const columns_f32: f32 = @floatFromInt(a.k);
            plane.step[row] = step;
            plane.norm[row] = scaled_norm / step * 1.0001 + 0.5 * @sqrt(columns_f32);
            const inverse = simd.splat(1 / step);
            var offset: @Vector(lanes, f64) = @splat(0);
            var part = simd.zero;
            column = 0;
            while (column < paddedColumns(a.k)) : (column += lanes) {
                var u = simd.zero;
                if (column < a.k) {
                    u = if (keeps)
                        simd.load(@ptrCast(&kept[column]))
                    else
                        scaled(plane, layout.someColumns(a.weight, a.k, row, column), column);
                }
                const dither = simd.load(plane.dither + column);
                const magic = simd.splat(12582912.0);
                const rounded = (u * inverse + dither + magic) - magic;
                const input = simd.load(plane.input_dither + column);
                part = simd.fma(rounded - dither, input, part);
                // Few terms in single precision: their rounding is in the bounds.
                if (column % (8 * lanes) == 0) {
                    offset += part;
                    part = simd.zero;
                }
                const whole: simd.Ints = @intFromFloat(rounded);
                put(out, column, @intCast(whole + @as(simd.Ints, @splat(zero_code))));
            }
            plane.offset[row] = @floatCast(@reduce(.Add, offset + part));
        }

        fn packUnbounded(a: *const Head, plane: Plane, row: u32, out: [*]u8) void {
            plane.step[row] = 1;
            plane.norm[row] = std.math.inf(f32);
            plane.offset[row] = std.math.inf(f32);
            var column: u32 = 0;
            while (column < paddedColumns(a.k)) : (column += lanes) {
                put(out, column, @splat(zero_code));
            }
        }

        inline fn scaled(plane: Plane, w: Lanes, column: u32) Lanes {
            const centred = w - simd.load(plane.mean + column);
            return centred * simd.load(plane.inverse + column);
        }
    };
}

/// Uniform in (-1/2, 1/2): 24 bits, centred, never an end.
fn uniform(random: *std.Random.SplitMix64) f32 {
    const bits: f32 = @floatFromInt(random.next() >> 40);
    return (bits + 0.5) * 0x1p-24 - 0.5;
}

/// Stores the codes of 16 columns of a row whose first byte is at `out`.
inline fn put(out: [*]u8, column: u32, codes: @Vector(lanes, u8)) void {
    const low = @shuffle(u8, codes, undefined, [8]i32{ 0, 1, 2, 3, 8, 9, 10, 11 });
    const high = @shuffle(u8, codes, undefined, [8]i32{ 4, 5, 6, 7, 12, 13, 14, 15 });
    const both: [8]u8 = low | high << @splat(4);
    const to = out + @as(u64, column / block_columns) * block_bytes;
    to[0..4].* = both[0..4].*;
    to[block_bytes..][0..4].* = both[4..8].*;
}
