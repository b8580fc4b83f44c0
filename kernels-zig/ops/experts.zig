//! Mixtures of experts: a step's tokens sorted by expert, a linear over each used expert, the sum.
const std = @import("std");
const abi = @import("../abi.zig");
const math = @import("../math.zig");
const simd = @import("../simd.zig");
const lanes = simd.lanes;
const args = abi.args;

pub const entries = [_]abi.Entry{
    .{ .op = "group", .run = group, .units = groupUnits, .grain = 1 },
    .{ .op = "gather", .run = gather, .units = gatherUnits, .grain = 4 },
    .{ .op = "linear_experts", .run = linear, .units = linearUnits, .grain = 1 },
    .{ .op = "scatter", .run = scatter, .units = scatterUnits, .grain = 1 },
};

fn groupUnits(_: *const abi.Op, _: *const abi.Step) callconv(.c) u32 {
    return 1;
}

/// Counting sort: stable, so that an expert's slots keep the order of rows.
fn group(
    op: *const abi.Op,
    step: *const abi.Step,
    _: *const abi.Thread,
    _: u32,
    _: u32,
) callconv(.c) void {
    const a: *const args.Group = @ptrCast(&op.args);
    const ids: [*]const u32 = @ptrFromInt(a.ids);
    const starts: [*]u32 = @ptrFromInt(a.starts);
    const slots: [*]u32 = @ptrFromInt(a.slots);
    const row_of: [*]u32 = @ptrFromInt(a.row_of);
    const expert_of: [*]u32 = @ptrFromInt(a.expert_of);
    const choices = @as(usize, step.rows) * a.top_k;
    @memset(starts[0 .. a.experts + 1], 0);
    for (ids[0..choices]) |id| starts[id + 1] += 1;
    if (a.counts != 0) {
        const counts: [*]u64 = @ptrFromInt(a.counts);
        for (0..a.experts) |e| counts[e] += starts[e + 1];
    }
    if (a.probabilities != 0) for (0..step.rows) |r| {
        const logits: [*]const f32 = @ptrFromInt(a.logits);
        addSoftmax(logits[r * a.stride ..][0..a.experts], @ptrFromInt(a.probabilities));
    };
    for (0..a.experts) |e| starts[e + 1] += starts[e];
    // Slots are given out from each expert's end, last row first; then starts are back in place.
    var choice = choices;
    while (choice > 0) {
        choice -= 1;
        const id = ids[choice];
        starts[id + 1] -= 1;
        const slot = starts[id + 1];
        slots[choice] = slot;
        row_of[slot] = @intCast(choice / a.top_k);
        expert_of[slot] = id;
    }
    for (0..a.experts) |e| starts[e] = starts[e + 1];
    starts[a.experts] = @intCast(choices);
}

fn addSoftmax(logits: []const f32, sums: [*]f64) void {
    const most = simd.splat(std.mem.max(f32, logits));
    var total: f64 = 0;
    for ([_]bool{ false, true }) |add| {
        var e: usize = 0;
        while (e < logits.len) : (e += lanes) {
            const count = @min(lanes, logits.len - e);
            const powers: [lanes]f32 = math.exp(lanes, simd.loadSome(logits.ptr + e, count) - most);
            for (0..count) |i| {
                if (add) sums[e + i] += powers[i] / total else total += powers[i];
            }
        }
    }
}

fn gatherUnits(op: *const abi.Op, step: *const abi.Step) callconv(.c) u32 {
    const a: *const args.Gather = @ptrCast(&op.args);
    return step.rows * @max(1, a.multiplier);
}

fn gather(
    op: *const abi.Op,
    _: *const abi.Step,
    _: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const a: *const args.Gather = @ptrCast(&op.args);
    const in: [*]const u8 = @ptrFromInt(a.in);
    const out: [*]u8 = @ptrFromInt(a.out);
    const index: [*]const u32 = @ptrFromInt(a.index);
    for (begin..end) |r| {
        const from = in + @as(usize, index[r]) * a.in_stride;
        @memcpy(out[r * a.out_stride ..][0..a.bytes], from[0..a.bytes]);
        if (a.scale_in == 0) continue;
        const scales: [*]const abi.RowScale = @ptrFromInt(a.scale_in);
        @as([*]abi.RowScale, @ptrFromInt(a.scale_out))[r] = scales[index[r]];
    }
}

/// How many experts have how many slots is known only when the op runs: it has a fixed number of
/// units, each an equal part of the linears' own units.
fn linearUnits(op: *const abi.Op, step: *const abi.Step) callconv(.c) u32 {
    const a: *const args.Experts = @ptrCast(&op.args);
    return std.math.clamp(step.rows * a.top_k * 16, 64, 256);
}

comptime {
    for (std.meta.fields(args.Linear)) |field| {
        if (@offsetOf(args.Linear, field.name) != @offsetOf(args.Experts, field.name))
            @compileError("Experts begins like Linear, but for " ++ field.name);
    }
}

/// The linear of one expert as an op and a step of its own.
const Expert = struct {
    op: abi.Op,
    step: abi.Step,

    fn set(expert: *Expert, a: *const args.Experts, e: usize) u32 {
        const starts: [*]const u32 = @ptrFromInt(a.starts);
        const rows = starts[e + 1] - starts[e];
        expert.step.rows = rows;
        if (rows == 0) return 0;
        const first: u64 = starts[e];
        const l: *args.Linear = @ptrCast(&expert.op.args);
        const element: u64 = if (a.x_scale == 0) 4 else 1;
        l.x = a.x + first * a.x_stride * element;
        l.x_scale = if (a.x_scale == 0) 0 else a.x_scale + first * rowScaleBytes(a);
        l.weight = a.weight + e * a.weight_stride;
        expert.op.run = a.run;
        expert.op.units = a.units;
        if (a.residents != 0) {
            const resident = @as([*]const u64, @ptrFromInt(a.residents))[e];
            if (resident != 0) {
                l.weight = resident;
                expert.op.run = a.resident_run;
                expert.op.units = a.resident_units;
            }
        }
        l.scale = if (a.scale == 0) 0 else a.scale + e * a.scale_stride;
        l.bias = if (a.bias == 0) 0 else a.bias + e * a.bias_stride;
        l.add = if (a.add == 0) 0 else a.add + first * a.add_stride * 4;
        l.out = a.out + first * a.out_stride * 4;
        const units: abi.UnitsFn = @ptrFromInt(expert.op.units);
        return units(&expert.op, &expert.step);
    }
};

fn rowScaleBytes(a: *const args.Experts) u64 {
    const block = if (a.q_block == 0) a.k else a.q_block;
    const blocks: u64 = std.math.divCeil(u32, a.k, block) catch unreachable;
    return blocks * @sizeOf(abi.RowScale);
}

fn linear(
    op: *const abi.Op,
    step: *const abi.Step,
    thread: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const a: *const args.Experts = @ptrCast(&op.args);
    var expert: Expert = .{ .op = op.*, .step = step.* };
    var total: u64 = 0;
    for (0..a.experts) |e| total += expert.set(a, e);
    const parts = linearUnits(op, step);
    const first = total * begin / parts;
    const last = total * end / parts;
    var before: u64 = 0;
    for (0..a.experts) |e| {
        if (before >= last) return;
        const count = expert.set(a, e);
        defer before += count;
        if (before + count <= first) continue;
        const from: u32 = @intCast(if (first > before) first - before else 0);
        const to: u32 = @intCast(@min(last - before, count));
        const run: abi.RunFn = @ptrFromInt(expert.op.run);
        run(&expert.op, &expert.step, thread, from, to);
    }
}

fn scatterUnits(_: *const abi.Op, step: *const abi.Step) callconv(.c) u32 {
    return step.rows;
}

fn scatter(
    op: *const abi.Op,
    _: *const abi.Step,
    _: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const a: *const args.Scatter = @ptrCast(&op.args);
    for (begin..end) |r| {
        const n = a.columns;
        const whole = n - n % lanes;
        var i: usize = 0;
        while (i < whole) : (i += lanes) sumColumns(a, r, i, lanes);
        if (whole < n) sumColumns(a, r, whole, n - whole);
    }
}

inline fn sumColumns(a: *const args.Scatter, r: usize, column: usize, count: usize) void {
    const in: [*]const f32 = @ptrFromInt(a.in);
    const slots = @as([*]const u32, @ptrFromInt(a.slots)) + r * a.top_k;
    const weights = @as([*]const f32, @ptrFromInt(a.weights)) + r * a.top_k;
    var sum = simd.zero;
    for (0..a.top_k) |i| {
        const from = in + @as(usize, slots[i]) * a.in_stride + column;
        const value = simd.loadSome(from, count);
        const weight = simd.splat(weights[i]);
        sum = if (i == 0) value * weight else simd.fma(value, weight, sum);
    }
    if (a.add != 0) {
        const add = @as([*]const f32, @ptrFromInt(a.add)) + r * a.add_stride + column;
        sum += simd.loadSome(add, count);
    }
    const out = @as([*]f32, @ptrFromInt(a.out)) + r * a.out_stride + column;
    simd.storeSome(out, sum, count);
}
