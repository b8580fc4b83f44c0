//! From integer sums to the outputs of a linear, in one fixed order of float operations.
//!
//! Canonical order, for row r and column j (S the exact integer sum, all in float32, nothing fused):
//!   t = float(S) * (scale[j] * inverse[r])        where group = 0
//!   t = A * inverse[r]       group != 0; A = fma(float(S_g), scale[j][g], A), g ascending, from 0
//!   t = t * multiplier    only where multiplier != 1
//!   t = t + bias[j]       only where there is a bias
//!   t = act(t_gate) * t_up   only with a gate
//!   t = t + add[r][j]     only where there is one
//! With one activation scale a block (q_block != 0), a group's factor is scale[j][g] * inverse[r][b]
//! and t = A; sums are then taken over segments of min(group, q_block) columns, one of which divides
//! the other.
//! Float layouts start from t = their sum (times scale[j] where there is a scale).
const abi = @import("../abi.zig");
const math = @import("../math.zig");
const simd = @import("../simd.zig");

pub const lanes = simd.lanes;
pub const F = simd.Lanes;

comptime {
    // A block of rows is written as one vector.
    if (lanes != abi.block_rows) unreachable;
}

/// Multiplier and bias of the 16 columns from `column`.
pub inline fn adjust(a: *const abi.args.Linear, value: F, column: u32) F {
    var t = value;
    if (a.multiplier != 1) t *= @splat(a.multiplier);
    if (a.bias != 0) t += loadColumns(a.bias, column, a.n);
    return t;
}

/// act(gate) * up
pub inline fn gated(a: *const abi.args.Linear, gate: F, up: F) F {
    return activate(@enumFromInt(a.gate), gate) * up;
}

pub inline fn activate(activation: abi.Activation, x: F) F {
    return switch (activation) {
        .relu2 => math.relu2(lanes, x),
        .silu => math.silu(lanes, x),
        .gelu => math.gelu(lanes, x),
        else => x,
    };
}

/// a * b + c, rounded once.
pub inline fn fma(a: F, b: F, c: F) F {
    return math.fma(lanes, a, b, c);
}

/// Adds the residual and writes 16 columns (fewer at the matrix's end) of a row.
pub inline fn store(a: *const abi.args.Linear, value: F, row: u32, column: u32) void {
    const columns = if (a.gate != 0) a.n / 2 else a.n;
    const out: [*]f32 = @ptrFromInt(a.out);
    const to = out + @as(u64, row) * a.out_stride + column;
    const add: ?[*]const f32 = if (a.add == 0) null else @ptrFromInt(a.add);
    const from = if (add) |p| p + @as(u64, row) * a.add_stride + column else null;
    if (column + lanes <= columns) {
        simd.store(to, if (from) |p| value + simd.load(p) else value);
        return;
    }
    const values: [lanes]f32 = value;
    for (0..columns - column) |i| to[i] = if (from) |p| values[i] + p[i] else values[i];
}

/// Asks for what `store` will read and write.
pub inline fn prefetch(a: *const abi.args.Linear, row: u32, column: u32) void {
    const out: [*]const f32 = @ptrFromInt(a.out);
    @prefetch(out + @as(u64, row) * a.out_stride + column, .{ .rw = .write });
    if (a.add == 0 or a.add == a.out) return;
    const add: [*]const f32 = @ptrFromInt(a.add);
    @prefetch(add + @as(u64, row) * a.add_stride + column, .{});
}

/// 16 floats of a vector [n]; zeros past its end.
pub inline fn loadColumns(address: u64, column: u32, n: u32) F {
    const values: [*]const f32 = @ptrFromInt(address);
    if (column + lanes <= n) return values[column..][0..lanes].*;
    var tail: [lanes]f32 = @splat(0);
    for (0..n - column) |i| tail[i] = values[column + i];
    return tail;
}
