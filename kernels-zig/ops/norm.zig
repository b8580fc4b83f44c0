//! RMSNorm, and the quantization of activations to int8 that linear layers want.
const std = @import("std");
const abi = @import("../abi.zig");
const math = @import("../math.zig");
const simd = @import("../simd.zig");
const Lanes = simd.Lanes;
const lanes = simd.lanes;
const Args = abi.args.Norm;

pub const entries = [_]abi.Entry{
    .{ .op = "norm", .run = run, .units = units, .grain = 1 },
};

fn units(op: *const abi.Op, step: *const abi.Step) callconv(.c) u32 {
    const args: *const Args = @ptrCast(&op.args);
    if (args.rows == @intFromEnum(abi.Rows.logits)) return step.logit_rows;
    return step.rows * @max(1, args.multiplier);
}

fn run(
    op: *const abi.Op,
    step: *const abi.Step,
    _: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const args: *const Args = @ptrCast(&op.args);
    const in: [*]const f32 = @ptrFromInt(args.in);
    const index: [*]const u32 = @ptrFromInt(step.logit_index);
    const gathers = args.rows == @intFromEnum(abi.Rows.logits);
    for (begin..end) |r| {
        const source = in + (if (gathers) index[r] else r) * args.in_stride;
        const weight = weightOf(args, r);
        if (args.out != 0) {
            const target = @as([*]f32, @ptrFromInt(args.out)) + r * args.out_stride;
            for (0..args.groups) |g| normGroup(args, source, weight, target, g);
            // What is quantized below is what was written, which may lie where the input lay.
            if (args.q != 0) quantizeRow(args, target, null, null, r);
        } else if (args.q != 0) {
            var scales: [max_groups]f32 = undefined;
            for (0..args.groups) |g| scales[g] = scaleOf(args, source + g * args.columns);
            quantizeRow(args, source, weight, &scales, r);
        }
    }
}

/// Groups of a row that is normalized and quantized without being written as f32.
const max_groups = 256;

/// 1 / sqrt(mean of squares + epsilon), or 1 without normalization.
fn scaleOf(args: *const Args, x: [*]const f32) f32 {
    if (args.epsilon < 0) return 1;
    const n = args.columns;
    const whole = n - n % lanes;
    var acc = simd.zero;
    var i: usize = 0;
    while (i < whole) : (i += lanes) {
        const v = simd.load(x + i);
        acc = simd.fma(v, v, acc);
    }
    if (whole < n) {
        const v = simd.loadTail(x + whole, n - whole);
        acc = simd.fma(v, v, acc);
    }
    const mean = simd.sum(acc) / @as(f32, @floatFromInt(n));
    // Squares that overflow would make a row of zeros: such a row is no number.
    if (mean == std.math.inf(f32)) return std.math.nan(f32);
    return 1 / @sqrt(mean + args.epsilon);
}

/// Elements i.. of a normalized row: (x * scale) * weight.
const Normalized = struct {
    x: [*]const f32,
    weight: ?[*]const f32,
    scale: f32,

    inline fn at(n: Normalized, i: usize) Lanes {
        const v = simd.load(n.x + i) * simd.splat(n.scale);
        return if (n.weight) |w| v * simd.load(w + i) else v;
    }

    inline fn tail(n: Normalized, i: usize, count: usize) Lanes {
        const v = simd.loadTail(n.x + i, count) * simd.splat(n.scale);
        return if (n.weight) |w| v * simd.loadTail(w + i, count) else v;
    }
};

/// The weights of row r.
fn weightOf(args: *const Args, r: usize) ?[*]const f32 {
    if (args.weight == 0) return null;
    const weights: [*]const f32 = @ptrFromInt(args.weight);
    if (args.weight_index == 0) return weights;
    const index: [*]const u32 = @ptrFromInt(args.weight_index);
    return weights + @as(usize, index[r]) * args.columns;
}

fn normGroup(
    args: *const Args,
    source: [*]const f32,
    weight: ?[*]const f32,
    target: [*]f32,
    group: usize,
) void {
    const n = args.columns;
    const x = source + group * n;
    const out = target + group * n;
    const values: Normalized = .{ .x = x, .weight = weight, .scale = scaleOf(args, x) };
    const whole = n - n % lanes;
    var i: usize = 0;
    while (i < whole) : (i += lanes) simd.store(out + i, values.at(i));
    if (whole < n) simd.storeTail(out + whole, values.tail(whole, n - whole), n - whole);
}

/// Quantizes row r in blocks; `scales` normalizes the groups on the way, null takes x as it is.
fn quantizeRow(
    args: *const Args,
    x: [*]const f32,
    weight: ?[*]const f32,
    scales: ?*[max_groups]f32,
    r: usize,
) void {
    const width: usize = @as(usize, args.columns) * args.groups;
    const block: usize = if (args.q_block == 0) width else args.q_block;
    const blocks = std.math.divCeil(usize, width, block) catch unreachable;
    const q = @as([*]i8, @ptrFromInt(args.q)) + r * args.q_stride;
    const row_scales = @as([*]abi.RowScale, @ptrFromInt(args.q_scale)) + r * blocks;
    const pieces: Pieces = .{ .columns = args.columns, .x = x, .weight = weight, .scales = scales };
    for (0..blocks) |b| {
        const first = b * block;
        row_scales[b] = quantizeBlock(pieces, q, first, @min(first + block, width));
    }
    if (args.q_stride > width) @memset(q[width..args.q_stride], 0);
}

/// A row that crosses groups.
const Pieces = struct {
    columns: usize,
    x: [*]const f32,
    weight: ?[*]const f32,
    scales: ?*[max_groups]f32,

    /// Group g, as values to index by the column minus the group's first one.
    inline fn group(p: Pieces, g: usize) Normalized {
        const scale = if (p.scales) |s| s[g] else 1;
        return .{ .x = p.x + g * p.columns, .weight = p.weight, .scale = scale };
    }
};

/// Columns first..end-1. One that is not finite makes `inverse` infinite or NaN, so that it goes on.
fn quantizeBlock(pieces: Pieces, q: [*]i8, first: usize, end: usize) abi.RowScale {
    const n = pieces.columns;
    // As integers: bits of magnitudes are in the order of their values, NaN is the largest.
    var top: simd.Ints = @splat(0);
    var at = first;
    while (at < end) {
        const g = at / n;
        const stop = @min(end, (g + 1) * n);
        const values = pieces.group(g);
        var i = at - g * n;
        const last = stop - g * n;
        while (i + lanes <= last) : (i += lanes) top = @max(magnitude(values.at(i)), top);
        if (i < last) top = @max(magnitude(values.tail(i, last - i)), top);
        at = stop;
    }
    const most: f32 = @bitCast(@reduce(.Max, top));
    const bound = if (most <= 1e-5) 1e-5 else most;
    const scale = 127.0 / bound;
    var total: simd.Ints = @splat(0);
    at = first;
    while (at < end) {
        const g = at / n;
        const stop = @min(end, (g + 1) * n);
        const values = pieces.group(g);
        var i = at - g * n;
        const last = stop - g * n;
        while (i + lanes <= last) : (i += lanes) {
            const whole = toInt8(values.at(i), scale);
            total += whole;
            q[g * n + i ..][0..lanes].* = @as(@Vector(lanes, i8), @truncate(whole));
        }
        if (i < last) {
            const whole = toInt8(values.tail(i, last - i), scale);
            total += whole;
            const bytes: [lanes]i8 = @as(@Vector(lanes, i8), @truncate(whole));
            @memcpy(q[g * n + i ..][0 .. last - i], bytes[0 .. last - i]);
        }
        at = stop;
    }
    return .{ .inverse = bound / 127.0, .sum = @reduce(.Add, total) };
}

inline fn magnitude(x: Lanes) simd.Ints {
    return @bitCast(simd.abs(x));
}

/// round_half_even(x * scale) in -128..127. The clamp comes first: rounding is monotone, the bounds
/// are integers, and the conversion needs a value in range, NaN (to 0) included.
inline fn toInt8(x: Lanes, scale: f32) simd.Ints {
    const scaled = x * simd.splat(scale);
    const bounded = @select(f32, scaled > simd.splat(127), simd.splat(127), scaled);
    const clamped = @select(f32, bounded < simd.splat(-128), simd.splat(-128), bounded);
    const number = @select(f32, clamped == clamped, clamped, simd.zero);
    return @intFromFloat(math.roundEven(lanes, number));
}
