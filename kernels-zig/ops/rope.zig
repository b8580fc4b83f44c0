//! Rotary position embedding of q and k, in place.
const abi = @import("../abi.zig");
const math = @import("../math.zig");
const simd = @import("../simd.zig");
const lanes = simd.lanes;
const Args = abi.args.Rope;

pub const entries = [_]abi.Entry{
    .{ .op = "rope", .run = run, .units = units, .grain = 1 },
};

fn units(_: *const abi.Op, step: *const abi.Step) callconv(.c) u32 {
    return step.rows;
}

fn run(
    op: *const abi.Op,
    step: *const abi.Step,
    _: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const args: *const Args = @ptrCast(&op.args);
    const positions: [*]const u32 = @ptrFromInt(step.positions);
    const q: [*]f32 = @ptrFromInt(args.q);
    const k: [*]f32 = @ptrFromInt(args.k);
    const table: [*]const f32 = @ptrFromInt(args.table);
    for (begin..end) |r| {
        const angles = table + @as(usize, positions[r]) * args.dimensions;
        for (0..args.heads_q) |h| rotate(args, q + r * args.q_stride + h * args.head_dim, angles);
        for (0..args.heads_k) |h| rotate(args, k + r * args.k_stride + h * args.head_dim, angles);
    }
}

/// (a, b) to (a cos - b sin, a sin + b cos): one product rounded, the other one fused.
inline fn turn(
    comptime n: usize,
    a: @Vector(n, f32),
    b: @Vector(n, f32),
    cos: @Vector(n, f32),
    sin: @Vector(n, f32),
) [2]@Vector(n, f32) {
    return .{ math.fma(n, a, cos, -(b * sin)), math.fma(n, b, cos, a * sin) };
}

fn rotate(args: *const Args, x: [*]f32, angles: [*]const f32) void {
    const pairs = args.dimensions / 2;
    if (args.interleaved != 0) {
        for (0..pairs) |i| {
            const both = scalarTurn(x[2 * i], x[2 * i + 1], angles + 2 * i);
            x[2 * i] = both[0];
            x[2 * i + 1] = both[1];
        }
        return;
    }
    var i: usize = 0;
    while (i + lanes <= pairs) : (i += lanes) {
        const cos_sin: @Vector(2 * lanes, f32) = angles[2 * i ..][0 .. 2 * lanes].*;
        const cos = @shuffle(f32, cos_sin, undefined, everySecond(0));
        const sin = @shuffle(f32, cos_sin, undefined, everySecond(1));
        const both = turn(lanes, simd.load(x + i), simd.load(x + pairs + i), cos, sin);
        simd.store(x + i, both[0]);
        simd.store(x + pairs + i, both[1]);
    }
    while (i < pairs) : (i += 1) {
        const both = scalarTurn(x[i], x[pairs + i], angles + 2 * i);
        x[i] = both[0];
        x[pairs + i] = both[1];
    }
}

fn scalarTurn(a: f32, b: f32, angle: [*]const f32) [2]f32 {
    const both = turn(1, @splat(a), @splat(b), @splat(angle[0]), @splat(angle[1]));
    return .{ both[0][0], both[1][0] };
}

fn everySecond(comptime first: i32) [lanes]i32 {
    var indices: [lanes]i32 = undefined;
    for (&indices, 0..) |*index, i| index.* = 2 * @as(i32, @intCast(i)) + first;
    return indices;
}
