//! A head straight from a file's rows: no copy of it, nothing to wait for at load.
//! Weights of q8_0 and q6_k are rounded to f16, as the packed layout "f16" holds them: the same bits.
//! Canonical order as in float.zig: column i goes to lane i mod 16, ascending, fused.
const abi = @import("../abi.zig");
const epilogue = @import("epilogue.zig");
const float = @import("float.zig");
const simd = @import("../simd.zig");
const stream = @import("../stream.zig");

const Linear = abi.args.Linear;
const F = simd.Lanes;
const lanes = simd.lanes;
const block_rows = abi.block_rows;
/// Rows of x that are multiplied together: as many as the registers hold.
const tile_rows = if (simd.avx512) 8 else 4;
/// Rows of x in a unit.
const chunk = 32;
/// Blocks of 16 rows of W in a unit.
const unit_blocks = 2;

/// 16 columns in 32 bytes: f16 or bf16 as they are.
fn Plain(comptime brain: bool) type {
    return struct {
        pub const name = if (brain) "bf16_rows" else "f16_rows";
        const columns = lanes;
        const size = 2 * lanes;

        inline fn scale(_: [*]const u8) f32 {
            return 1;
        }

        inline fn group(block: [*]const u8, _: f32, _: usize) F {
            const bits: @Vector(lanes, u16) = @bitCast(block[0..size].*);
            return if (brain) simd.fromBrain(bits) else simd.fromHalf(bits);
        }
    };
}

pub const Half = Plain(false);
pub const Brain = Plain(true);

/// 32 columns in 34 bytes: f16 scale, 32 i8.
pub const Q8 = struct {
    pub const name = "q8_0";
    const columns = 32;
    const size = 34;

    inline fn scale(block: [*]const u8) f32 {
        return simd.halfAt(block);
    }

    /// Columns 16 g..16 g + 15 of a block whose scale is `whole`.
    inline fn group(block: [*]const u8, whole: f32, g: usize) F {
        const codes = simd.loadI8(@ptrCast(block + 2 + g * lanes));
        return simd.roundHalf(simd.fromInts(codes) * simd.splat(whole));
    }
};

/// 256 columns in 210 bytes: low nibbles [128], high pairs of bits [64], i8 scales [16], f16 scale.
pub const Q6 = struct {
    pub const name = "q6_k";
    const columns = 256;
    const size = 210;
    const Codes = @Vector(lanes, u8);

    inline fn scale(block: [*]const u8) f32 {
        return simd.halfAt(block + 208);
    }

    inline fn group(block: [*]const u8, whole: f32, g: usize) F {
        const h = g / 8;
        const s = g % 8 / 2;
        const lane = g % 2 * 16;
        const low: Codes = block[64 * h + 32 * (s % 2) + lane ..][0..lanes].*;
        const high: Codes = block[128 + 32 * h + lane ..][0..lanes].*;
        const nibbles = low >> @splat(@intCast(4 * (s / 2))) & @as(Codes, @splat(15));
        const pairs = high >> @splat(@intCast(2 * s)) & @as(Codes, @splat(3));
        const codes = @as(simd.Ints, nibbles | pairs << @splat(4)) - @as(simd.Ints, @splat(32));
        const factor: i8 = @bitCast(block[192 + g]);
        const factors = simd.splat(whole * @as(f32, @floatFromInt(factor)));
        return simd.roundHalf(simd.fromInts(codes) * factors);
    }
};

/// A head [n][k], n a multiple of 16, k one of the format's block.
pub fn Stored(comptime Format: type) type {
    const groups = Format.columns / lanes;
    return struct {
        inline fn rowOf(weight: u64, k: u32, row: u32) [*]const u8 {
            const base: [*]const u8 = @ptrFromInt(weight);
            return base + @as(u64, row) * (k / Format.columns) * Format.size;
        }

        /// 16 columns of a row of W, from `column` (a multiple of 16).
        pub inline fn someColumns(weight: u64, k: u32, row: u32, column: u32) F {
            const at = column / Format.columns * Format.size;
            const block = rowOf(weight, k, row) + at;
            const g = column % Format.columns / lanes;
            return Format.group(block, Format.scale(block), g);
        }

        /// Exact sums of the four rows of W that row `row` begins, for one x [k].
        pub fn fourRows(weight: u64, k: u32, row: u32, x: [*]const f32) [float.run_rows]f32 {
            var sums: [float.run_rows]f32 = undefined;
            for (&sums, row..) |*sum, r| {
                sum.* = products(1, rowOf(weight, k, @intCast(r)), k, x, 0)[0];
            }
            return sums;
        }

        /// Sums of a row of W for `rows` rows of x.
        fn products(
            comptime rows: u32,
            w: [*]const u8,
            k: u32,
            x: [*]const f32,
            stride: u32,
        ) [rows]f32 {
            var accs: [rows]F = @splat(@splat(0));
            for (0..k / Format.columns) |b| {
                const block = w + b * Format.size;
                const whole = Format.scale(block);
                inline for (0..(Format.size + 63) / 64) |line| {
                    stream.ahead(block + line * 64);
                }
                inline for (0..groups) |g| {
                    const weights = Format.group(block, whole, g);
                    inline for (0..rows) |r| {
                        const column = b * Format.columns + g * lanes;
                        const input: F = (x + r * stride + column)[0..lanes].*;
                        accs[r] = simd.fma(weights, input, accs[r]);
                    }
                }
            }
            var sums: [rows]f32 = undefined;
            inline for (0..rows) |r| sums[r] = simd.sum(accs[r]);
            return sums;
        }

        fn rowsOf(a: *const Linear, step: *const abi.Step) u32 {
            return if (a.rows == @intFromEnum(abi.Rows.logits)) step.logit_rows else step.rows;
        }

        fn across(a: *const Linear) u32 {
            return (a.n / block_rows + unit_blocks - 1) / unit_blocks;
        }

        pub fn units(op: *const abi.Op, step: *const abi.Step) callconv(.c) u32 {
            const a: *const Linear = @ptrCast(&op.args);
            return across(a) * ((rowsOf(a, step) + chunk - 1) / chunk);
        }

        pub fn run(
            op: *const abi.Op,
            step: *const abi.Step,
            _: *const abi.Thread,
            begin: u32,
            end: u32,
        ) callconv(.c) void {
            const a: *const Linear = @ptrCast(&op.args);
            for (begin..end) |u| {
                const unit: u32 = @intCast(u);
                const first = unit % across(a) * unit_blocks;
                const last = @min(first + unit_blocks, a.n / block_rows);
                const row = unit / across(a) * chunk;
                const rows = @min(chunk, rowsOf(a, step) - row);
                for (first..last) |block| runBlock(a, @intCast(block), row, rows);
            }
        }

        fn runBlock(a: *const Linear, block: u32, first: u32, rows: u32) void {
            const column = block * block_rows;
            const x = @as([*]const f32, @ptrFromInt(a.x)) + @as(u64, first) * a.x_stride;
            var sums: [chunk][block_rows]f32 = undefined;
            for (0..block_rows) |j| {
                const w = rowOf(a.weight, a.k, column + @as(u32, @intCast(j)));
                var row: u32 = 0;
                while (row < rows) {
                    const count = @min(tile_rows, rows - row);
                    inline for (1..tile_rows + 1) |tile| {
                        if (count == tile) {
                            const from = x + @as(u64, row) * a.x_stride;
                            const found = products(tile, w, a.k, from, a.x_stride);
                            for (found, row..) |sum, r| sums[r][j] = sum;
                        }
                    }
                    row += count;
                }
            }
            for (0..rows) |r| {
                const value = epilogue.adjust(a, sums[r], column);
                epilogue.store(a, value, first + @as(u32, @intCast(r)), column);
            }
        }
    };
}
