//! Chooses the experts of each token from the router's logits.
const std = @import("std");
const abi = @import("../abi.zig");
const math = @import("../math.zig");
const simd = @import("../simd.zig");
const Args = abi.args.Route;

pub const entries = [_]abi.Entry{
    .{ .op = "route", .run = run, .units = units, .grain = 1 },
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
    _ = step;
    const args: *const Args = @ptrCast(&op.args);
    for (begin..end) |r| {
        const logits = @as([*]const f32, @ptrFromInt(args.logits)) + r * args.stride;
        const ids = @as([*]u32, @ptrFromInt(args.ids)) + r * args.top_k;
        const weights = @as([*]f32, @ptrFromInt(args.weights)) + r * args.top_k;
        switch (@as(abi.RouteKind, @enumFromInt(args.kind))) {
            .top_k => topK(args, logits, ids, weights),
            .fixed => fixed(args, ids, weights),
        }
    }
}

/// The given targets, or 0..k-1, each with weight 1/k.
fn fixed(args: *const Args, ids: [*]u32, weights: [*]f32) void {
    const targets: ?[*]const u32 = if (args.targets == 0) null else @ptrFromInt(args.targets);
    for (0..args.top_k) |i| {
        ids[i] = if (targets) |t| t[i] else @intCast(i);
        weights[i] = 1 / @as(f32, @floatFromInt(args.top_k));
    }
}

/// The k largest logits, ties to the lower index; weights are softmax over those, or over all.
fn topK(args: *const Args, logits: [*]const f32, ids: [*]u32, weights: [*]f32) void {
    const n = args.experts;
    for (0..args.top_k) |i| {
        var best: ?u32 = null;
        for (0..n) |e| {
            if (std.mem.indexOfScalar(u32, ids[0..i], @intCast(e)) != null) continue;
            if (best == null or logits[e] > logits[best.?]) best = @intCast(e);
        }
        ids[i] = best.?;
    }
    const most = logits[ids[0]];
    for (0..args.top_k) |i| weights[i] = power(logits[ids[i]] - most);
    var total: f32 = 0;
    if (args.normalize != 0) {
        for (weights[0..args.top_k]) |w| total += w;
    } else for (0..n) |e| {
        total += power(logits[e] - most);
    }
    for (weights[0..args.top_k]) |*w| w.* /= total;
}

fn power(x: f32) f32 {
    return math.exp(1, @splat(x))[0];
}
