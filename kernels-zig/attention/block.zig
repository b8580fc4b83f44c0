//! Attention of a few queries over one page of keys and values: the block in which it is reduced.
const std = @import("std");
const abi = @import("../abi.zig");
const kv = @import("kv.zig");
const math = @import("../math.zig");
const simd = @import("../simd.zig");
const Lanes = simd.Lanes;
const lanes = simd.lanes;

const positions = kv.positions;
const halves = positions / lanes;

/// Most queries that share the loads of a block.
pub const max_queries = 8;
/// Vectors of 16 positions that one pass over the keys holds sums for, and of 16 columns that one
/// pass over the values does: as many as the registers hold.
const key_vectors = if (simd.avx512) 2 else 1;
fn valueVectors(comptime n: usize) usize {
    if (!simd.avx512) return 1;
    return if (n > 4) 2 else 4;
}

/// Softmax state of one query: f32 [padded head_dim] weighted sum of values, then the maximum and
/// the sum of the weights. A sum of 0 means that nothing was added yet.
pub const State = struct {
    base: [*]f32,
    dim: usize,

    pub inline fn top(s: State) *f32 {
        return &s.base[s.dim];
    }
    pub inline fn total(s: State) *f32 {
        return &s.base[s.dim + 1];
    }
};

/// Floats of a state, and of a partial result.
pub fn stateFloats(head_dim: u32) usize {
    return kv.padded(head_dim) + lanes;
}

/// One page of one kv head.
pub const Block = struct {
    keys: usize,
    values: usize,
    key_scales: usize,
    value_scales: usize,
    /// Positions that take part, 1..32.
    count: usize,
    /// Keys and values of the block that is wanted next, to ask memory for; 0: none. Pages lie
    /// anywhere, and a page is too short for the CPU to see the pattern.
    next_keys: usize = 0,
    next_values: usize = 0,
};

inline fn prefetch(address: usize) void {
    // Asking for an address that is not there does nothing.
    @prefetch(@as([*]const u8, @ptrFromInt(address)), .{ .locality = 2 });
}

pub const Shape = struct {
    head_dim: usize,
    /// head_dim rounded up to 16.
    dim: usize,
    scale: f32,
    type_k: abi.KvType,
    type_v: abi.KvType,
};

/// Adds a block to the states of n queries.
pub fn add(
    comptime n: usize,
    shape: Shape,
    block: Block,
    queries: *const [n][*]const f32,
    states: *const [n]State,
) void {
    @setEvalBranchQuota(100000);
    var weights: [n][positions]f32 = undefined;
    switch (shape.type_k) {
        .f16 => scores(n, .f16, shape, block, queries, &weights),
        .i8 => scores(n, .i8, shape, block, queries, &weights),
    }
    var keep: [n]f32 = undefined;
    var take: [n]f32 = undefined;
    soften(n, block, states, &weights, &keep, &take);
    switch (shape.type_v) {
        .f16 => sumValues(n, .f16, shape, block, states, &weights, &keep, &take),
        .i8 => sumValues(n, .i8, shape, block, states, &weights, &keep, &take),
    }
}

fn Element(comptime t: abi.KvType) type {
    return if (t == .f16) u16 else i8;
}

inline fn loadStored(comptime t: abi.KvType, address: usize, index: usize) Lanes {
    return switch (t) {
        .f16 => simd.fromHalf(simd.loadU16(@as([*]const u16, @ptrFromInt(address)) + index)),
        .i8 => simd.fromInts(simd.loadI8(@as([*]const i8, @ptrFromInt(address)) + index)),
    };
}

/// weights[i][p] = q_i . k_p * scale; each one a chain of fused steps over d ascending.
fn scores(
    comptime n: usize,
    comptime t: abi.KvType,
    shape: Shape,
    block: Block,
    queries: *const [n][*]const f32,
    weights: *[n][positions]f32,
) void {
    comptime var first = 0;
    inline while (first < halves) : (first += key_vectors) {
        var sums: [n][key_vectors]Lanes = @splat(@splat(simd.zero));
        for (0..shape.head_dim) |d| {
            if (first == 0) prefetch(block.next_keys +% d * positions * @sizeOf(Element(t)));
            inline for (0..key_vectors) |j| {
                const k = loadStored(t, block.keys, d * positions + (first + j) * lanes);
                inline for (0..n) |i| {
                    sums[i][j] = simd.fma(simd.splat(queries[i][d]), k, sums[i][j]);
                }
            }
        }
        inline for (0..key_vectors) |j| {
            const at = (first + j) * lanes;
            inline for (0..n) |i| {
                var s = sums[i][j];
                if (t == .i8) s *= simd.load(@as([*]const f32, @ptrFromInt(block.key_scales)) + at);
                simd.store(@as([*]f32, &weights[i]) + at, s * simd.splat(shape.scale));
            }
        }
    }
}

/// Scores to e^(score - block's maximum); updates maximum and sum of each state. The state's values
/// are then to be multiplied by keep, the block's by take.
fn soften(
    comptime n: usize,
    block: Block,
    states: *const [n]State,
    weights: *[n][positions]f32,
    keep: *[n]f32,
    take: *[n]f32,
) void {
    var tops: [n]f32 = undefined;
    var totals: [n]f32 = undefined;
    const low = simd.splat(-std.math.inf(f32));
    const indices = std.simd.iota(u32, lanes);
    inline for (0..n) |i| {
        const row: [*]f32 = &weights[i];
        var s: [halves]Lanes = undefined;
        inline for (0..halves) |j| {
            s[j] = simd.load(row + j * lanes);
            const here = indices + @as(@Vector(lanes, u32), @splat(j * lanes));
            const valid = here < @as(@Vector(lanes, u32), @splat(@intCast(block.count)));
            s[j] = @select(f32, valid, s[j], low);
        }
        tops[i] = simd.largest(simd.larger(s[0], s[1]));
        inline for (0..halves) |j| {
            s[j] = math.exp(lanes, s[j] - simd.splat(tops[i]));
            simd.store(row + j * lanes, s[j]);
        }
        totals[i] = simd.sum(s[0] + s[1]);
    }
    mergeFactors(n, states, &tops, &totals, keep, take);
}

/// The one formula by which partial results are merged: with M the larger maximum, both sides are
/// scaled by e^(own maximum - M). An empty state keeps nothing.
pub fn mergeFactors(
    comptime n: usize,
    states: *const [n]State,
    tops: *const [n]f32,
    totals: *const [n]f32,
    keep: *[n]f32,
    take: *[n]f32,
) void {
    var powers: [2 * max_queries]f32 = @splat(0);
    inline for (0..n) |i| {
        const old = states[i].top().*;
        const empty = states[i].total().* == 0;
        const most = if (empty or tops[i] > old) tops[i] else old;
        powers[2 * i] = if (empty) -std.math.inf(f32) else old - most;
        powers[2 * i + 1] = tops[i] - most;
        states[i].top().* = most;
    }
    const scaled: [lanes]f32 = math.exp(lanes, powers);
    inline for (0..n) |i| {
        keep[i] = scaled[2 * i];
        take[i] = scaled[2 * i + 1];
        const old = states[i].total();
        old.* = if (old.* == 0) totals[i] else mulAdd(old.*, keep[i], totals[i] * take[i]);
    }
}

fn mulAdd(a: f32, b: f32, c: f32) f32 {
    return math.fma(1, @splat(a), @splat(b), @splat(c))[0];
}

/// One vector of a state with one of a newer part. What was empty is replaced, whatever it holds.
pub inline fn merged(old: Lanes, keep: f32, new: Lanes, take: f32) Lanes {
    const sum = simd.fma(old, simd.splat(keep), new * simd.splat(take));
    return if (keep == 0 and take == 1) new else sum;
}

/// state = state * keep + take * sum over p of weight_p v_p; each element a chain of fused steps
/// over p ascending.
fn sumValues(
    comptime n: usize,
    comptime t: abi.KvType,
    shape: Shape,
    block: Block,
    states: *const [n]State,
    weights: *[n][positions]f32,
    keep: *const [n]f32,
    take: *const [n]f32,
) void {
    if (t == .i8) inline for (0..n) |i| {
        const row: [*]f32 = &weights[i];
        const scales: [*]const f32 = @ptrFromInt(block.value_scales);
        inline for (0..halves) |j| {
            const at = row + j * lanes;
            simd.store(at, simd.load(at) * simd.load(scales + j * lanes));
        }
    };
    const wide = comptime valueVectors(n);
    var column: usize = 0;
    while (column + wide * lanes <= shape.dim) : (column += wide * lanes) {
        columns(n, wide, t, shape, block, states, weights, keep, take, column);
    }
    while (column < shape.dim) : (column += lanes) {
        columns(n, 1, t, shape, block, states, weights, keep, take, column);
    }
}

inline fn columns(
    comptime n: usize,
    comptime wide: usize,
    comptime t: abi.KvType,
    shape: Shape,
    block: Block,
    states: *const [n]State,
    weights: *const [n][positions]f32,
    keep: *const [n]f32,
    take: *const [n]f32,
    column: usize,
) void {
    var sums: [n][wide]Lanes = @splat(@splat(simd.zero));
    for (0..block.count) |p| {
        const ahead = block.next_values +% (p * shape.dim + column) * @sizeOf(Element(t));
        comptime var line = 0;
        inline while (line < wide * lanes * @sizeOf(Element(t))) : (line += 64) {
            prefetch(ahead +% line);
        }
        inline for (0..wide) |j| {
            const v = loadStored(t, block.values, p * shape.dim + column + j * lanes);
            inline for (0..n) |i| sums[i][j] = simd.fma(simd.splat(weights[i][p]), v, sums[i][j]);
        }
    }
    inline for (0..n) |i| inline for (0..wide) |j| {
        const at = states[i].base + column + j * lanes;
        simd.store(at, merged(simd.load(at), keep[i], sums[i][j], take[i]));
    };
}
