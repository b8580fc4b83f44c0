//! What the machine can do at most: plain reading of memory, and int8 dot products in registers.
const abi = @import("../abi.zig");
const dot = @import("../linear/dot.zig");

pub const entries = [_]abi.Entry{
    .{ .op = "probe", .format = "read", .run = &read, .units = &readUnits, .grain = 1 },
    .{ .op = "probe", .format = "int8", .run = &int8, .units = &int8Units, .grain = 1 },
};

/// Bytes that a unit of "read" sums.
const unit_bytes = 64 << 10;
/// Accumulators of "int8": enough to hide the latency of the dot product everywhere.
const accumulators = switch (dot.kind) {
    .vnni => 20,
    .avx2, .neon => 5,
    .portable => 1,
};

const fused = dot.kind == .vnni or dot.kind == .neon;

fn argsOf(op: *const abi.Op) *const abi.args.Probe {
    return @ptrCast(&op.args);
}

fn keep(a: *const abi.args.Probe, thread: *const abi.Thread, value: u64) void {
    const results: [*]u64 = @ptrFromInt(a.result);
    results[thread.index] +%= value;
}

fn readUnits(op: *const abi.Op, _: *const abi.Step) callconv(.c) u32 {
    return @intCast(argsOf(op).bytes / unit_bytes);
}

fn read(
    op: *const abi.Op,
    _: *const abi.Step,
    thread: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const a = argsOf(op);
    const Line = @Vector(8, u64);
    const lines: [*]const Line = @ptrFromInt(a.memory);
    var sums: [4]Line = @splat(@splat(0));
    const per_unit = unit_bytes / 64;
    var at: u64 = @as(u64, begin) * per_unit;
    while (at < @as(u64, end) * per_unit) : (at += 4) {
        inline for (0..4) |i| sums[i] +%= lines[at + i];
    }
    keep(a, thread, @reduce(.Add, sums[0] +% sums[1] +% sums[2] +% sums[3]));
}

fn int8Units(_: *const abi.Op, _: *const abi.Step) callconv(.c) u32 {
    return 64;
}

/// A unit multiplies steps * accumulators * 64 pairs (the caller learns the number of pairs of one
/// step from the first word of `result` after a run with steps = 0).
fn int8(
    op: *const abi.Op,
    _: *const abi.Step,
    thread: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const a = argsOf(op);
    if (a.steps == 0) {
        const results: [*]u64 = @ptrFromInt(a.result);
        if (begin == 0) results[0] = accumulators * 64;
        return;
    }
    const source: [*]const u8 = @ptrFromInt(a.memory);
    for (begin..end) |_| {
        var accs: [accumulators]dot.Acc = @splat(dot.zero());
        for (0..a.steps) |s| {
            // Another word each time, so that nothing can be taken out of the loop.
            const four = dot.load(@ptrCast(source + 64 + s % 16 * 4));
            inline for (0..accumulators) |i| {
                // Other codes for each sum where product and sum are two instructions.
                const codes: dot.Codes = source[if (fused) 0 else i * 64..][0..64].*;
                accs[i] = dot.step(accs[i], codes, four);
            }
        }
        var total: dot.Total = @splat(0);
        inline for (0..accumulators) |i| total += dot.total(accs[i]);
        keep(a, thread, @intCast(@as(u32, @bitCast(@reduce(.Xor, total)))));
    }
}
