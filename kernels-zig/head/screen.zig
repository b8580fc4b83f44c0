//! Estimates of all logits from the coarse plane, as upper bounds; see plane.zig for the mathematics.
const std = @import("std");
const abi = @import("../abi.zig");
const dot = @import("../linear/dot.zig");
const planes = @import("plane.zig");
const simd = @import("../simd.zig");

const Head = abi.args.Head;
const Plane = planes.Plane;
const lanes = simd.lanes;
const Lanes = simd.Lanes;

/// The bound is passed with probability below exp(-z^2 / 2) = 5.6e-12 for each of the top rows.
const z = 7.2;
/// Largest value of an activation in 16 bits: 127 * 256 + 127.
const most16 = 32639;

/// Steps of codes 0..15 that an accumulator of dot.zig holds.
const max_steps: u32 = switch (dot.kind) {
    .vnni, .neon => 1 << 20,
    .avx2 => 8,
    .portable => 16,
};
const max_blocks = max_steps / 2;
/// Logit rows that are estimated together.
const tile_rows = if (dot.kind == .vnni) 4 else 1;
/// Codes that a unit reads at least, where there are enough.
const unit_bytes = 64 << 10;
const prefetch_bytes = 8 << 10;

/// What a logit row keeps between the ops.
pub const Work = struct {
    scalars: *Scalars,
    /// x * s in 16 bits: 256 * high + low.
    high: [*]i8,
    low: [*]i8,
    /// Upper bound of each row's sum.
    upper: [*]f32,
    /// Best estimate in each block of 16 rows.
    best: [*]f32,
    best_row: [*]u32,
    candidates: [*]u32,

    pub fn of(a: *const Head, row: u32) Work {
        const columns = planes.paddedColumns(a.k);
        const blocks = planes.rowBlocks(a.n);
        const base = a.work + row * bytes(a.n, a.k);
        const high = base + @sizeOf(Scalars);
        const upper = high + 2 * columns;
        const best = upper + 4 * lanes * blocks;
        return .{
            .scalars = @ptrFromInt(base),
            .high = @ptrFromInt(high),
            .low = @ptrFromInt(high + columns),
            .upper = @ptrFromInt(upper),
            .best = @ptrFromInt(best),
            .best_row = @ptrFromInt(best + 4 * blocks),
            .candidates = @ptrFromInt(best + 8 * blocks),
        };
    }
};

pub const Scalars = extern struct {
    /// Sums of the two bytes of the activations, times the code of zero.
    high: i32,
    low: i32,
    /// Sum of dither * activation, in steps.
    dither: f32,
    /// Value of one step of the activations.
    step: f32,
    /// mu . x
    mean: f32,
    /// The margin of row j is margin_step * D[j] + margin.
    margin_step: f32,
    margin: f32,
    /// Rows whose exact logits are wanted.
    count: u32,
    reserved: [8]u32,
};

/// Bytes of work memory for one logit row.
pub fn bytes(n: u32, k: u32) callconv(.c) u64 {
    const blocks: u64 = planes.rowBlocks(n);
    const used = @sizeOf(Scalars) + 2 * planes.paddedColumns(k) + blocks * (8 * lanes + 8);
    return std.mem.alignForward(u64, used, 64);
}

fn argsOf(op: *const abi.Op) *const Head {
    return @ptrCast(&op.args);
}

pub fn rowUnits(_: *const abi.Op, step: *const abi.Step) callconv(.c) u32 {
    return step.logit_rows;
}

/// Splits the activations of each logit row into bytes; sums, margins.
pub fn prepare(
    op: *const abi.Op,
    _: *const abi.Step,
    _: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const a = argsOf(op);
    const plane = Plane.of(a);
    for (begin..end) |r| {
        const x = @as([*]const f32, @ptrFromInt(a.x)) + r * a.x_stride;
        prepareRow(a, plane, x, Work.of(a, @intCast(r)));
    }
}

fn prepareRow(a: *const Head, plane: Plane, x: [*]const f32, work: Work) void {
    var most: f32 = 0;
    for (0..a.k) |i| most = @max(most, @abs(x[i] * plane.scale[i]));
    const step = @max(most, 1e-30) / most16;
    var high: i32 = 0;
    var low: i32 = 0;
    var dither: f64 = 0;
    var mean: f64 = 0;
    var squares: f64 = 0;
    var norm: f64 = 0;
    for (0..planes.paddedColumns(a.k)) |i| {
        const value = if (i < a.k) x[i] * plane.scale[i] / step else 0;
        const whole: i32 = @intFromFloat(@min(@max(@round(value), -most16), most16));
        const top: i32 = (whole + 128) >> 8;
        work.high[i] = @intCast(top);
        work.low[i] = @intCast(whole - (top << 8));
        high += work.high[i];
        low += work.low[i];
        dither += @as(f64, @floatFromInt(whole)) * plane.dither[i];
        if (i < a.k) {
            mean += @as(f64, x[i]) * plane.mean[i];
            squares += @as(f64, value) * value;
            norm += @as(f64, x[i]) * x[i];
        }
    }
    // Half a step in every activation, times codes of at most 7.5 steps of D.
    const halves = 0.5 * 7.5 * @as(f64, @floatFromInt(a.k));
    const sigma = @sqrt(squares / 12.0);
    // Float rounding, of the exact sum (k / 16 terms a lane, then a tree) and of the estimate:
    // relative to the product of the norms, twice over.
    const rounding = (@as(f64, @floatFromInt(a.k)) / lanes + 32) * 0x1p-23;
    const largest: f64 = @as(f32, @bitCast(plane.largest.*));
    work.scalars.* = .{
        .high = planes.zero_code * high,
        .low = planes.zero_code * low,
        .dither = @floatCast(dither),
        .step = step,
        .mean = @floatCast(mean),
        .margin_step = @floatCast((z * sigma + halves) * step),
        .margin = @floatCast(rounding * largest * @sqrt(norm) + rounding * @abs(mean)),
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
    for (begin * unit..@min(end * unit, blocks)) |b| {
        const block: u32 = @intCast(b);
        var row: u32 = 0;
        while (row < step.logit_rows) {
            const count = @min(tile_rows, step.logit_rows - row);
            inline for (1..tile_rows + 1) |rows| {
                if (count == rows) screenBlock(rows, a, plane, block, row);
            }
            row += count;
        }
    }
}

fn screenBlock(comptime rows: u32, a: *const Head, plane: Plane, block: u32, first: u32) void {
    var works: [rows]Work = undefined;
    inline for (0..rows) |r| works[r] = Work.of(a, first + @as(u32, r));
    const sums = products(rows, plane.codes + block * plane.stride, a.k, works);
    const steps = simd.load(plane.step + block * lanes);
    inline for (0..rows) |r| {
        const s = works[r].scalars;
        const high: Lanes = @floatFromInt(sums[r][0] - @as(dot.Total, @splat(s.high)));
        const low: Lanes = @floatFromInt(sums[r][1] - @as(dot.Total, @splat(s.low)));
        const codes = high * simd.splat(256) + (low - simd.splat(s.dither));
        var estimate = codes * (steps * simd.splat(s.step)) + simd.splat(s.mean);
        var upper = estimate + (steps * simd.splat(s.margin_step) + simd.splat(s.margin));
        const left = a.n - block * lanes;
        if (left < lanes) {
            const absent = std.simd.iota(u32, lanes) >= @as(@Vector(lanes, u32), @splat(left));
            const least = simd.splat(-std.math.inf(f32));
            estimate = @select(f32, absent, least, estimate);
            upper = @select(f32, absent, least, upper);
        }
        simd.store(works[r].upper + block * lanes, upper);
        const best = simd.largest(estimate);
        works[r].best[block] = best;
        const at = std.simd.firstTrue(estimate == simd.splat(best)) orelse 0;
        works[r].best_row[block] = block * lanes + at;
        if (a.logits != 0) clear(a, first + @as(u32, r), block);
    }
}

/// Minus infinity for logits that nobody will evaluate.
fn clear(a: *const Head, row: u32, block: u32) void {
    const logits = @as([*]f32, @ptrFromInt(a.logits)) + @as(u64, row) * a.logits_stride;
    const first = block * lanes;
    @memset(logits[first..@min(first + lanes, a.n)], -std.math.inf(f32));
}

/// Sums of codes times high and low bytes.
fn products(
    comptime rows: u32,
    codes: [*]const u8,
    k: u32,
    works: [rows]Work,
) [rows][2]dot.Total {
    var sums: [rows][2]dot.Total = @splat(@splat(@splat(0)));
    const all = planes.paddedColumns(k) / planes.block_columns;
    var at: u32 = 0;
    while (at < all) {
        const stop = @min(all, at + max_blocks);
        var accs: [rows][2]dot.Acc = @splat(@splat(dot.zero()));
        while (at < stop) : (at += 1) {
            const block = codes + at * planes.block_bytes;
            @prefetch(block + prefetch_bytes, .{ .locality = 2 });
            const both: dot.Codes = block[0..planes.block_bytes].*;
            const mask: dot.Codes = @splat(0x0f);
            const words: @Vector(16, u32) = @bitCast(both);
            const shifted: dot.Codes = @bitCast(words >> @splat(4));
            inline for (.{ both & mask, shifted & mask }, 0..) |half, h| {
                const column = at * planes.block_columns + h * 4;
                inline for (0..rows) |r| {
                    accs[r][0] = dot.step(accs[r][0], half, dot.load(works[r].high + column));
                    accs[r][1] = dot.step(accs[r][1], half, dot.load(works[r].low + column));
                }
            }
        }
        inline for (0..rows) |r| {
            inline for (0..2) |h| sums[r][h] += dot.total(accs[r][h]);
        }
    }
    return sums;
}
