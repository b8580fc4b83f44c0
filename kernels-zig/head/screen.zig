//! Estimates of all logits from the coarse plane, as upper bounds; see plane.zig for the mathematics.
const std = @import("std");
const abi = @import("../abi.zig");
const dot = @import("../linear/dot.zig");
const planes = @import("plane.zig");
const simd = @import("../simd.zig");
const stream = @import("../stream.zig");

const Head = abi.args.Head;
const Plane = planes.Plane;
const lanes = simd.lanes;
const Lanes = simd.Lanes;

/// The bound is passed with probability below exp(-z^2 / 2) = 5.6e-12 for each of the top rows.
const z = 7.2;
/// Largest activation in steps: 127 less the dither, and a little for rounding.
const most_steps = 126.4;

/// Steps of codes 0..15 that an accumulator of dot.zig holds.
const max_steps: u32 = switch (dot.kind) {
    .vnni, .neon => 1 << 20,
    .avx2 => 8,
    .portable => 16,
};
const max_blocks = max_steps / 2;
/// Logit rows that are estimated together: as many sums as the registers hold.
const tile_rows = switch (dot.kind) {
    .vnni => 16,
    .avx2, .neon => 4,
    .portable => 1,
};
/// Codes that a unit reads at least, where there are enough.
const unit_bytes = 64 << 10;

/// What a logit row keeps between the ops.
pub const Work = struct {
    scalars: *Scalars,
    /// Upper bound of each row's sum.
    upper: [*]f32,
    /// Best estimate in each block of 16 rows.
    best: [*]f32,
    best_row: [*]u32,
    candidates: [*]u32,

    pub fn of(a: *const Head, row: u32) Work {
        const blocks = planes.rowBlocks(a.n);
        const base = a.work + row * ownBytes(a.n);
        const upper = base + @sizeOf(Scalars);
        const best = upper + 4 * lanes * blocks;
        return .{
            .scalars = @ptrFromInt(base),
            .upper = @ptrFromInt(upper),
            .best = @ptrFromInt(best),
            .best_row = @ptrFromInt(best + 4 * blocks),
            .candidates = @ptrFromInt(best + 8 * blocks),
        };
    }
};

pub const Scalars = extern struct {
    /// Sum of the activations in steps, times the code of zero.
    zeros: i32,
    /// Sum of dither * activation, in steps.
    dither: f32,
    /// Value of one step of the activations.
    step: f32,
    /// mu . x
    mean: f32,
    /// Square of the norm of y in steps.
    squares: f32,
    /// What float rounding may do to the estimate of row j, over D[j] norm[j].
    rounding: f32,
    /// What it may do to the exact sum and to mu . x.
    margin: f32,
    /// Rows whose exact logits are wanted.
    count: u32,
    reserved: [8]u32,
};

/// Bytes of work memory for one logit row, its activations aside.
fn ownBytes(n: u32) u64 {
    const blocks: u64 = planes.rowBlocks(n);
    return std.mem.alignForward(u64, @sizeOf(Scalars) + blocks * (8 * lanes + 8), 64);
}

/// Bytes of work memory for one logit row.
pub fn bytes(n: u32, k: u32) callconv(.c) u64 {
    return ownBytes(n) + planes.paddedColumns(k);
}

/// Logit rows that are estimated together, and their activations: [columns / 4][rows][4], after the
/// work memory of all rows.
const Tile = struct {
    first: u32,
    rows: u32,
    inputs: [*]i8,

    fn of(a: *const Head, step: *const abi.Step, row: u32) Tile {
        const first = row / tile_rows * tile_rows;
        const inputs: [*]i8 = @ptrFromInt(a.work + step.logit_rows * ownBytes(a.n));
        return .{
            .first = first,
            .rows = @min(tile_rows, step.logit_rows - first),
            .inputs = inputs + @as(u64, first) * planes.paddedColumns(a.k),
        };
    }

    fn set(tile: Tile, row: u32, column: usize, value: i8) void {
        tile.inputs[(column / 4 * tile.rows + row - tile.first) * 4 + column % 4] = value;
    }
};

fn argsOf(op: *const abi.Op) *const Head {
    return @ptrCast(&op.args);
}

pub fn rowUnits(_: *const abi.Op, step: *const abi.Step) callconv(.c) u32 {
    return step.logit_rows;
}

/// Brings the activations of each logit row to 8 bits; sums, margins.
pub fn prepare(
    op: *const abi.Op,
    step: *const abi.Step,
    _: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const a = argsOf(op);
    for (begin..end) |r| {
        const row: u32 = @intCast(r);
        const x = @as([*]const f32, @ptrFromInt(a.x)) + r * a.x_stride;
        Work.of(a, row).scalars.* = prepareRow(a, Tile.of(a, step, row), row, x);
    }
}

fn prepareRow(a: *const Head, tile: Tile, row: u32, x: [*]const f32) Scalars {
    const plane = Plane.of(a);
    var most: f32 = 0;
    for (0..a.k) |i| most = @max(most, @abs(x[i] * plane.scale[i]));
    const step = @max(most, 1e-30) / most_steps;
    var total: i32 = 0;
    var dither: f64 = 0;
    var mean: f64 = 0;
    var squares: f64 = 0;
    var norm: f64 = 0;
    for (0..planes.paddedColumns(a.k)) |i| {
        const value = if (i < a.k) x[i] * plane.scale[i] / step else 0;
        const rounded = @round(value + plane.input_dither[i]);
        const whole: i8 = @intFromFloat(@min(@max(rounded, -127), 127));
        tile.set(row, i, whole);
        total += whole;
        dither += @as(f64, @floatFromInt(whole)) * plane.dither[i];
        if (i < a.k) {
            mean += @as(f64, x[i]) * plane.mean[i];
            squares += @as(f64, value) * value;
            norm += @as(f64, x[i]) * x[i];
        }
    }
    // Relative to the product of the norms of w and x, twice over: the exact sum has k / 16 terms a
    // lane, then a tree.
    const rounding = (@as(f64, @floatFromInt(a.k)) / lanes + 32) * 0x1p-23;
    const largest: f64 = @as(f32, @bitCast(plane.largest.*));
    return .{
        .zeros = planes.zero_code * total,
        .dither = @floatCast(dither),
        .step = step,
        .mean = @floatCast(mean),
        .squares = @floatCast(squares * 1.000001),
        .rounding = @floatCast(@sqrt(squares) * 0x1p-21),
        .margin = @floatCast(rounding * (largest * @sqrt(norm) + @abs(mean))),
        .count = 0,
        .reserved = @splat(0),
    };
}

fn unitBlocks(a: *const Head, blocks: u32) u32 {
    const stride = planes.paddedColumns(a.k) / planes.block_columns * planes.block_bytes;
    const enough = (unit_bytes - 1) / stride + 1;
    return @max(1, @min(enough, blocks / 16));
}

pub fn units(op: *const abi.Op, step: *const abi.Step) callconv(.c) u32 {
    if (step.logit_rows == 0) return 0;
    const a = argsOf(op);
    const blocks = planes.rowBlocks(a.n);
    const unit = unitBlocks(a, blocks);
    return (blocks + unit - 1) / unit;
}

pub fn run(
    op: *const abi.Op,
    step: *const abi.Step,
    _: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const a = argsOf(op);
    const plane = Plane.of(a);
    const blocks = planes.rowBlocks(a.n);
    const unit = unitBlocks(a, blocks);
    for (begin * unit..@min(end * unit, blocks)) |block| {
        var row: u32 = 0;
        while (row < step.logit_rows) : (row += tile_rows) {
            const tile = Tile.of(a, step, row);
            inline for (1..tile_rows + 1) |rows| {
                if (tile.rows == rows) screenBlock(rows, a, plane, @intCast(block), tile);
            }
        }
    }
}

fn screenBlock(comptime rows: u32, a: *const Head, plane: Plane, block: u32, tile: Tile) void {
    const sums = products(rows, plane.codes + block * plane.stride, a.k, tile.inputs);
    const steps = simd.load(plane.step + block * lanes);
    const norms = simd.load(plane.norm + block * lanes);
    const offsets = simd.load(plane.offset + block * lanes);
    for (0..rows) |r| {
        const row = tile.first + @as(u32, @intCast(r));
        const work = Work.of(a, row);
        const s = work.scalars.*;
        const whole: Lanes = @floatFromInt(sums[r] - @as(dot.Total, @splat(s.zeros)));
        const step = steps * simd.splat(s.step);
        var estimate = (whole - simd.splat(s.dither) - offsets) * step + simd.splat(s.mean);
        const variance = (simd.splat(s.squares) + norms * norms) * simd.splat(1.0 / 12.0);
        const margin = simd.splat(z) * @sqrt(variance) + norms * simd.splat(s.rounding);
        var upper = estimate + (margin * step + simd.splat(s.margin));
        const left = a.n - block * lanes;
        if (left < lanes) {
            const absent = std.simd.iota(u32, lanes) >= @as(@Vector(lanes, u32), @splat(left));
            const least = simd.splat(-std.math.inf(f32));
            estimate = @select(f32, absent, least, estimate);
            upper = @select(f32, absent, least, upper);
        }
        if (maskOf(a, row)) |mask| {
            const least = simd.splat(-std.math.inf(f32));
            const open: @Vector(lanes, bool) = @bitCast(mask[block]);
            estimate = @select(f32, open, estimate, least);
            upper = @select(f32, open, upper, least);
        }
        simd.store(work.upper + block * lanes, upper);
        const best = simd.largest(estimate);
        work.best[block] = best;
        const at = std.simd.firstTrue(estimate == simd.splat(best)) orelse 0;
        work.best_row[block] = block * lanes + at;
        if (a.logits != 0) clear(a, row, block);
    }
}

/// Bits of the tokens that may be among the top ones of a logit row, 16 a block; null: all may.
pub fn maskOf(a: *const Head, row: u32) ?[*]const u16 {
    if (a.masks == 0) return null;
    const address = @as([*]const u64, @ptrFromInt(a.masks))[row];
    return if (address == 0) null else @ptrFromInt(address);
}

/// Minus infinity for logits that nobody will evaluate.
fn clear(a: *const Head, row: u32, block: u32) void {
    const logits = @as([*]f32, @ptrFromInt(a.logits)) + @as(u64, row) * a.logits_stride;
    const first = block * lanes;
    @memset(logits[first..@min(first + lanes, a.n)], -std.math.inf(f32));
}

/// Sums of codes times activations of the 16 rows of a block.
fn products(
    comptime rows: u32,
    codes: [*]const u8,
    k: u32,
    inputs: [*]const i8,
) [rows]dot.Total {
    var sums: [rows]dot.Total = @splat(@splat(0));
    const all = planes.paddedColumns(k) / planes.block_columns;
    var at: u32 = 0;
    while (at < all) {
        const stop = @min(all, at + max_blocks);
        var accs: [rows]dot.Acc = @splat(dot.zero());
        while (at < stop) : (at += 1) {
            const block = codes + at * planes.block_bytes;
            stream.ahead(block);
            const both: dot.Codes = block[0..planes.block_bytes].*;
            const mask: dot.Codes = @splat(0x0f);
            const words: @Vector(16, u32) = @bitCast(both);
            const shifted: dot.Codes = @bitCast(words >> @splat(4));
            const x = inputs + @as(u64, at) * (2 * rows * 4);
            inline for (.{ both & mask, shifted & mask }, 0..) |half, h| {
                inline for (0..rows) |r| {
                    accs[r] = dot.step(accs[r], half, dot.load(x + (h * rows + r) * 4));
                }
            }
        }
        inline for (0..rows) |r| sums[r] += dot.total(accs[r]);
    }
    return sums;
}
