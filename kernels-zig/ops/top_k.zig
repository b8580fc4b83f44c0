//! The k largest logits of a row, and the maximum and the logarithm of the sum that softmax needs.
const std = @import("std");
const abi = @import("../abi.zig");
const math = @import("../math.zig");
const simd = @import("../simd.zig");
const lanes = simd.lanes;
const Args = abi.args.TopK;

pub const entries = [_]abi.Entry{
    .{ .op = "top_k", .run = run, .units = units, .grain = 1 },
};

fn units(_: *const abi.Op, step: *const abi.Step) callconv(.c) u32 {
    return step.logit_rows;
}

fn run(
    op: *const abi.Op,
    _: *const abi.Step,
    _: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const args: *const Args = @ptrCast(&op.args);
    for (begin..end) |r| {
        const logits = @as([*]const f32, @ptrFromInt(args.logits)) + r * args.stride;
        const list: List = .{
            .ids = @as([*]u32, @ptrFromInt(args.ids)) + r * args.k,
            .values = @as([*]f32, @ptrFromInt(args.values)) + r * args.k,
            .k = @min(args.k, args.columns),
        };
        select(logits, args.columns, list);
        if (args.stats != 0) {
            const stats = @as([*]f32, @ptrFromInt(args.stats)) + 2 * r;
            stats[0] = list.values[0];
            stats[1] = logOfSum(logits, args.columns, list.values[0]);
        }
    }
}

/// A sorted list, best first, of what was seen.
const List = struct {
    ids: [*]u32,
    values: [*]f32,
    k: usize,
    length: usize = 0,

    fn insert(list: *List, value: f32, id: u32) void {
        var i = list.length;
        if (i < list.k) list.length += 1 else i -= 1;
        while (i > 0 and list.values[i - 1] < value) : (i -= 1) {
            list.values[i] = list.values[i - 1];
            list.ids[i] = list.ids[i - 1];
        }
        list.values[i] = value;
        list.ids[i] = id;
    }
};

fn select(logits: [*]const f32, n: usize, empty: List) void {
    var list = empty;
    var i: usize = 0;
    while (i < n) {
        if (list.length == list.k and i + lanes <= n) {
            // Sixteen at once: most of a row is below the least of the list. NaN never gets in.
            const least = simd.splat(list.values[list.k - 1]);
            if (!@reduce(.Or, simd.load(logits + i) > least)) {
                i += lanes;
                continue;
            }
        }
        const end = @min(n, i + lanes);
        while (i < end) : (i += 1) {
            const value = if (logits[i] == logits[i]) logits[i] else -std.math.inf(f32);
            const wanted = list.length < list.k or value > list.values[list.k - 1];
            if (wanted) list.insert(value, @intCast(i));
        }
    }
}

fn logOfSum(logits: [*]const f32, n: usize, most: f32) f32 {
    var acc = simd.zero;
    var i: usize = 0;
    while (i + lanes <= n) : (i += lanes) {
        acc += math.exp(lanes, simd.load(logits + i) - simd.splat(most));
    }
    if (i < n) {
        // Lanes past the end get an exact zero.
        var last: [lanes]f32 = @splat(-std.math.inf(f32));
        for (logits[i..n], last[0 .. n - i]) |value, *l| l.* = value - most;
        acc += math.exp(lanes, last);
    }
    return @floatCast(math.log(simd.sum(acc)));
}
