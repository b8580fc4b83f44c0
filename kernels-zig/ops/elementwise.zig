//! Sums, products and activations, element by element.
const abi = @import("../abi.zig");
const math = @import("../math.zig");
const simd = @import("../simd.zig");
const Lanes = simd.Lanes;
const lanes = simd.lanes;
const Args = abi.args.Elementwise;

pub const entries = [_]abi.Entry{
    .{ .op = "elementwise", .run = run, .units = units, .grain = 1 },
};

fn units(op: *const abi.Op, step: *const abi.Step) callconv(.c) u32 {
    const args: *const Args = @ptrCast(&op.args);
    if (args.rows == @intFromEnum(abi.Rows.logits)) return step.logit_rows;
    return step.rows * @max(1, args.multiplier);
}

fn run(
    op: *const abi.Op,
    _: *const abi.Step,
    _: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const args: *const Args = @ptrCast(&op.args);
    const a: [*]const f32 = @ptrFromInt(args.a);
    const out: [*]f32 = @ptrFromInt(args.out);
    for (begin..end) |r| {
        const x = a + r * args.a_stride;
        // Without a second operand the first one stands in; its values are not used.
        const b: [*]const f32 = @ptrFromInt(if (args.b == 0) args.a else args.b);
        const y = if (args.b == 0) x else b + r * args.b_stride;
        const target = out + r * args.out_stride;
        const n = args.columns;
        if (args.kind == 4) {
            scaleRow(x, math.sigmoid(1, .{y[0]})[0], target, n);
            continue;
        }
        var i: usize = 0;
        while (i + lanes <= n) : (i += lanes) {
            simd.store(target + i, apply(args, simd.load(x + i), simd.load(y + i)));
        }
        if (i < n) {
            const value = apply(args, simd.loadTail(x + i, n - i), simd.loadTail(y + i, n - i));
            simd.storeTail(target + i, value, n - i);
        }
    }
}

fn scaleRow(x: [*]const f32, factor: f32, target: [*]f32, n: u32) void {
    var i: usize = 0;
    while (i < n) : (i += lanes) {
        const count = @min(lanes, n - i);
        simd.storeSome(target + i, simd.loadSome(x + i, count) * simd.splat(factor), count);
    }
}

inline fn apply(args: *const Args, a: Lanes, b: Lanes) Lanes {
    return switch (args.kind) {
        0 => simd.fma(b, simd.splat(args.scale), a),
        1 => a * b,
        2 => activate(args, a),
        else => activate(args, a) * b,
    };
}

inline fn activate(args: *const Args, x: Lanes) Lanes {
    return switch (@as(abi.Activation, @enumFromInt(args.activation))) {
        .none => x,
        .relu2 => math.relu2(lanes, x),
        .silu => math.silu(lanes, x),
        .gelu => math.gelu(lanes, x),
        .softcap => math.softcap(lanes, x, args.scale),
    };
}
