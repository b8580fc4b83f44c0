//! Chooses the experts of each token from the router's logits.
const std = @import("std");
const abi = @import("../abi.zig");
const math = @import("../math.zig");
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
            .softmax, .sigmoid => topK(args, logits, ids, weights),
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

const max_experts = 4096;

/// The k best scores, ties to the lower index, and their weights.
fn topK(args: *const Args, logits: [*]const f32, ids: [*]u32, weights: [*]f32) void {
    const n = args.experts;
    var ranked: [max_experts]f32 = undefined;
    const softmax = args.kind == @intFromEnum(abi.RouteKind.softmax);
    if (softmax and args.bias == 0 and args.groups == 0) {
        // Softmax keeps the order of its logits, and a weight needs few of them.
        best(logits[0..n], ids[0..args.top_k]);
    } else {
        const plain = scores(args, logits, ranked[0..n]);
        if (args.bias != 0) {
            const bias: [*]const f32 = @ptrFromInt(args.bias);
            for (plain, bias[0..n]) |*score, add| score.* += add;
        }
        if (args.groups != 0) dropGroups(args, ranked[0..n]);
        best(ranked[0..n], ids[0..args.top_k]);
    }
    weigh(args, logits, ids, weights);
}

/// Softmax over all experts, or the sigmoid of each.
fn scores(args: *const Args, logits: [*]const f32, out: []f32) []f32 {
    if (args.kind == @intFromEnum(abi.RouteKind.sigmoid)) {
        for (out, 0..) |*score, e| score.* = sigmoid(logits[e]);
        return out;
    }
    const most = std.mem.max(f32, logits[0..out.len]);
    var total: f32 = 0;
    for (out, 0..) |*score, e| {
        score.* = power(logits[e] - most);
        total += score.*;
    }
    for (out) |*score| score.* /= total;
    return out;
}

/// Minus infinity for the experts of all but the best groups; ties go to the first group.
fn dropGroups(args: *const Args, ranked: []f32) void {
    const size = ranked.len / args.groups;
    var sums: [max_experts]f32 = undefined;
    for (0..args.groups) |g| {
        const members = ranked[g * size ..][0..size];
        var pair: [2]u32 = undefined;
        const count = @min(2, size);
        best(members, pair[0..count]);
        sums[g] = members[pair[0]] + if (count == 2) members[pair[1]] else 0;
    }
    var kept: [max_experts]u32 = undefined;
    best(sums[0..args.groups], kept[0..args.groups_used]);
    for (0..args.groups) |g| {
        const group: u32 = @intCast(g);
        if (std.mem.indexOfScalar(u32, kept[0..args.groups_used], group) != null) continue;
        @memset(ranked[g * size ..][0..size], -std.math.inf(f32));
    }
}

/// Indices of the largest values, descending, ties to the lower index; NaN comes last.
fn best(values: []const f32, out: []u32) void {
    for (out, 0..) |*place, i| {
        var top: ?u32 = null;
        for (values, 0..) |value, at| {
            const index: u32 = @intCast(at);
            if (std.mem.indexOfScalar(u32, out[0..i], index) != null) continue;
            const held = if (top) |t| values[t] else {
                top = index;
                continue;
            };
            if (value > held or (std.math.isNan(held) and !std.math.isNan(value))) top = index;
        }
        place.* = top.?;
    }
}

fn weigh(args: *const Args, logits: [*]const f32, ids: [*]const u32, weights: [*]f32) void {
    const chosen = weights[0..args.top_k];
    var total: f32 = 0;
    if (args.kind == @intFromEnum(abi.RouteKind.sigmoid)) {
        for (chosen, 0..) |*w, i| w.* = sigmoid(logits[ids[i]]);
        for (chosen) |w| total += w;
        if (args.normalize == 0) total = 1;
    } else {
        const most = std.mem.max(f32, logits[0..args.experts]);
        for (chosen, 0..) |*w, i| w.* = power(logits[ids[i]] - most);
        if (args.normalize != 0) {
            for (chosen) |w| total += w;
        } else for (0..args.experts) |e| {
            total += power(logits[e] - most);
        }
    }
    for (chosen) |*w| w.* /= total;
    for (chosen) |*w| w.* *= args.scale;
}

fn sigmoid(x: f32) f32 {
    return math.sigmoid(1, @splat(x))[0];
}

fn power(x: f32) f32 {
    return math.exp(1, @splat(x))[0];
}
