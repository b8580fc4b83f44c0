//! Attention over a span of positions, the unit in which it is reduced, for a few queries at a time.
//!
//! Canonical order, all in float32. Over the positions p of a span that take part:
//!   s_p = (q . k_p) * scale; the product is a chain of fused steps over d ascending (int8 keys:
//!         times the key's scale first)
//!   m = max s_p, w_p = e^(s_p - m), l = sum of w_p in 16 lanes (lane p mod 16) and the tree
//!   o_d = chain of fused steps w_p * v_p,d over p ascending (int8 values: w_p times the scale first)
//! Spans are merged in ascending order, see merge.
const std = @import("std");
const abi = @import("../abi.zig");
const kv = @import("kv.zig");
const math = @import("../math.zig");
const simd = @import("../simd.zig");
const Lanes = simd.Lanes;
const lanes = simd.lanes;

pub const positions = abi.span_positions;
/// Pages of a span.
pub const pages = positions / kv.positions;

/// Most queries that share loads.
pub const max_queries = if (simd.avx512) 8 else 4;
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

/// One kv head of a page.
pub const Page = struct {
    keys: usize = 0,
    values: usize = 0,
    /// f32 [32] that keys and values are to be multiplied with, 0: none.
    key_scales: usize = 0,
    value_scales: usize = 0,
    /// What is read next after the keys, and after the values, to ask memory for; 0: nothing. Blocks
    /// are too short for the CPU to see a pattern.
    after_keys: usize = 0,
    after_values: usize = 0,
};

/// How elements lie in memory: as in pages (i8 integers want scales), or staged as floats.
pub const Stored = enum { half, byte, float };

pub const Shape = struct {
    head_dim: usize,
    /// head_dim rounded up to 16.
    dim: usize,
    scale: f32,
    keys: Stored,
    values: Stored,
};

pub fn storedAs(kv_type: u32) Stored {
    return if (kv_type == @intFromEnum(abi.KvType.i8)) .byte else .half;
}

fn Element(comptime t: Stored) type {
    return switch (t) {
        .half => u16,
        .byte => i8,
        .float => f32,
    };
}

inline fn loadStored(comptime t: Stored, address: usize, index: usize) Lanes {
    const at = @as([*]const Element(t), @ptrFromInt(address)) + index;
    return switch (t) {
        .half => simd.fromHalf(simd.loadU16(at)),
        .byte => simd.fromInts(simd.loadI8(at)),
        .float => simd.load(at),
    };
}

/// Converts elements of the first 16 n columns of rows of `dim` to floats, row after row.
pub fn stage(
    comptime n: usize,
    stored: Stored,
    from: usize,
    rows: usize,
    dim: usize,
    to: [*]f32,
) void {
    switch (stored) {
        inline else => |t| for (0..rows) |row| inline for (0..n) |j| {
            const at = to + (row * n + j) * lanes;
            simd.store(at, loadStored(t, from, row * dim + j * lanes));
        },
    }
}

/// Asking for an address that is not there does nothing.
inline fn prefetch(address: usize) void {
    @prefetch(@as([*]allowzero const u8, @ptrFromInt(address)), .{ .locality = 2 });
}

/// While staged keys are scored, one line of what is read next is asked for in so many dimensions: all
/// queries of a large tile together ask for one f16 page's part.
const ask_every = 128 / max_queries;

inline fn askAhead(page: *const Page, d: usize) void {
    if (d % ask_every != 0) return;
    prefetch(page.after_keys +% d / ask_every * 64);
    prefetch(page.after_values +% d / ask_every * 64);
}

/// Bytes that scorePage asks for with staged keys.
pub fn askedBytes(head_dim: usize) usize {
    return (std.math.divCeil(usize, head_dim, ask_every) catch unreachable) * 64;
}

/// Weights of a query for the positions of a span.
pub const Weights = [positions]f32;

/// Scores of n queries for a page, the `at`-th of its span, to `weights`.
pub fn scorePage(
    comptime n: usize,
    shape: Shape,
    page: *const Page,
    at: usize,
    queries: *const [n][*]const f32,
    weights: *[n]Weights,
) void {
    switch (shape.keys) {
        inline else => |t| scores(n, t, shape, page, queries, weights, at * kv.positions),
    }
}

/// Maximum of a query's scores, and the sum of its weights.
pub const Softened = struct { top: f32, total: f32 };

/// Scores of the first counts[i] positions of a span, 1..128, not falling with i, to the weights of
/// its values.
pub fn weigh(
    span: *const [pages]Page,
    counts: []const usize,
    weights: []Weights,
    softened: []Softened,
) void {
    @setEvalBranchQuota(10000);
    const n = soften_together;
    const whole = counts.len - counts.len % n;
    if (whole > 0) {
        // The maxima of the next ones are found while the exponentials are under way.
        var tops = largestOf(n, counts[0..n], weights[0..n]);
        var i: usize = 0;
        while (i < whole) : (i += n) {
            const ahead = @min(i + n, whole - n);
            const next = largestOf(n, counts[ahead..][0..n], weights[ahead..][0..n]);
            softened[i..][0..n].* = soften(n, counts[i..][0..n], weights[i..][0..n], tops);
            tops = next;
        }
    }
    inline for (1..n) |rest| if (counts.len - whole == rest) {
        const few = weights[whole..][0..rest];
        const tops = largestOf(rest, counts[whole..][0..rest], few);
        softened[whole..][0..rest].* = soften(rest, counts[whole..][0..rest], few, tops);
    };
    if (span[0].value_scales == 0) return;
    for (weights, counts) |*row, count| {
        for (span[0..pagesOf(count)], 0..) |*page, at| {
            scaleWeights(row[at * kv.positions ..].ptr, page);
        }
    }
}

/// Adds the weighted values of pages first..last-1 of a span to the states, which page 0 sets. Query i
/// takes part with its first counts[i] positions, which do not fall with i.
pub fn addPages(
    comptime n: usize,
    shape: Shape,
    span: *const [pages]Page,
    first: usize,
    last: usize,
    counts: *const [n]usize,
    states: *const [n]State,
    weights: *const [n]Weights,
) void {
    switch (shape.values) {
        inline else => |t| {
            sumValues(n, t, shape, span, .{ first, last }, counts, states, weights);
        },
    }
}

/// Pages that hold the first `count` positions of a span.
pub fn pagesOf(count: usize) usize {
    return std.math.divCeil(usize, count, kv.positions) catch unreachable;
}

fn scores(
    comptime n: usize,
    comptime t: Stored,
    shape: Shape,
    page: *const Page,
    queries: *const [n][*]const f32,
    weights: *[n]Weights,
    at: usize,
) void {
    comptime var first = 0;
    inline while (first < kv.positions / lanes) : (first += key_vectors) {
        var sums: [n][key_vectors]Lanes = @splat(@splat(simd.zero));
        for (0..shape.head_dim) |d| {
            const row = d * kv.positions * @sizeOf(Element(t));
            if (first == 0) {
                if (t == .float) askAhead(page, d) else if (row % 64 == 0) {
                    prefetch(page.after_keys +% row);
                }
            }
            inline for (0..key_vectors) |j| {
                const k = loadStored(t, page.keys, d * kv.positions + (first + j) * lanes);
                inline for (0..n) |i| {
                    sums[i][j] = simd.fma(simd.splat(queries[i][d]), k, sums[i][j]);
                }
            }
        }
        inline for (0..key_vectors) |j| {
            const column = (first + j) * lanes;
            inline for (0..n) |i| {
                var s = sums[i][j];
                if (page.key_scales != 0) {
                    s *= simd.load(@as([*]const f32, @ptrFromInt(page.key_scales)) + column);
                }
                simd.store(@as([*]f32, &weights[i]) + at + column, s * simd.splat(shape.scale));
            }
        }
    }
}

/// Queries whose chains of dependent steps overlap in soften.
const soften_together = if (simd.avx512) 4 else 2;

/// Largest of the first counts[i] scores of n rows; what lies past the count becomes -infinity.
inline fn largestOf(comptime n: usize, counts: *const [n]usize, rows: *[n]Weights) [n]Lanes {
    const low = simd.splat(-std.math.inf(f32));
    const used = std.math.divCeil(usize, counts[n - 1], lanes) catch unreachable;
    for (rows, counts) |*row, count| {
        const first = count / lanes;
        if (first == used) continue;
        const rest: u32 = @intCast(count % lanes);
        const valid = std.simd.iota(u32, lanes) < @as(@Vector(lanes, u32), @splat(rest));
        const at = row[first * lanes ..].ptr;
        simd.store(at, @select(f32, valid, simd.load(at), low));
        for (first + 1..used) |j| simd.store(row[j * lanes ..].ptr, low);
    }
    var most: [n]Lanes = @splat(low);
    for (0..used) |j| inline for (0..n) |i| {
        most[i] = simd.larger(simd.load(rows[i][j * lanes ..].ptr), most[i]);
    };
    var tops: [n]Lanes = undefined;
    inline for (0..n) |i| tops[i] = simd.splat(simd.largest(most[i]));
    return tops;
}

/// Scores to weights e^(score - maximum), zero past each count.
inline fn soften(
    comptime n: usize,
    counts: *const [n]usize,
    rows: *[n]Weights,
    tops: [n]Lanes,
) [n]Softened {
    const used = std.math.divCeil(usize, counts[n - 1], lanes) catch unreachable;
    var totals: [n]Lanes = @splat(simd.zero);
    for (0..used) |j| inline for (0..n) |i| {
        const at = rows[i][j * lanes ..].ptr;
        const power = math.expDown(lanes, simd.load(at) - tops[i]);
        simd.store(at, power);
        totals[i] += power;
    };
    var softened: [n]Softened = undefined;
    inline for (0..n) |i| softened[i] = .{ .top = tops[i][0], .total = simd.sum(totals[i]) };
    return softened;
}

fn scaleWeights(weights: [*]f32, page: *const Page) void {
    const scales: [*]const f32 = @ptrFromInt(page.value_scales);
    inline for (0..kv.positions / lanes) |j| {
        const at = weights + j * lanes;
        simd.store(at, simd.load(at) * simd.load(scales + j * lanes));
    }
}

fn sumValues(
    comptime n: usize,
    comptime t: Stored,
    shape: Shape,
    span: *const [pages]Page,
    range: [2]usize,
    counts: *const [n]usize,
    states: *const [n]State,
    weights: *const [n]Weights,
) void {
    const wide = comptime valueVectors(n);
    var column: usize = 0;
    while (column + wide * lanes <= shape.dim) : (column += wide * lanes) {
        columns(n, wide, t, shape, span, range, counts, states, weights, column);
    }
    while (column < shape.dim) : (column += lanes) {
        columns(n, 1, t, shape, span, range, counts, states, weights, column);
    }
}

inline fn columns(
    comptime n: usize,
    comptime wide: usize,
    comptime t: Stored,
    shape: Shape,
    span: *const [pages]Page,
    range: [2]usize,
    counts: *const [n]usize,
    states: *const [n]State,
    weights: *const [n]Weights,
    column: usize,
) void {
    var sums: [n][wide]Lanes = @splat(@splat(simd.zero));
    if (range[0] > 0) {
        inline for (0..n) |i| inline for (0..wide) |j| {
            sums[i][j] = simd.load(states[i].base + column + j * lanes);
        };
    }
    addColumns(n, wide, t, shape.dim, span, range, counts, weights, column, &sums);
    inline for (0..n) |i| inline for (0..wide) |j| {
        simd.store(states[i].base + column + j * lanes, sums[i][j]);
    };
}

/// Adds `wide` vectors of columns of the weighted values of pages range[0]..range[1]-1, whose rows are
/// `dim` elements, to the sums of n queries.
inline fn addColumns(
    comptime n: usize,
    comptime wide: usize,
    comptime t: Stored,
    dim: usize,
    span: *const [pages]Page,
    range: [2]usize,
    counts: *const [n]usize,
    weights: *const [n]Weights,
    column: usize,
    sums: *[n][wide]Lanes,
) void {
    // All queries share the positions of the first one; the others have some of their own.
    const shared = counts[0];
    for (range[0]..range[1]) |at| {
        const page = &span[at];
        const from = at * kv.positions;
        for (0..@min(kv.positions, shared -| from)) |p| {
            const row = p * dim + column;
            if (t != .float) {
                inline for (0..@max(1, wide * lanes * @sizeOf(Element(t)) / 64)) |line| {
                    prefetch(page.after_values +% row * @sizeOf(Element(t)) +% line * 64);
                }
            }
            inline for (0..wide) |j| {
                const v = loadStored(t, page.values, row + j * lanes);
                inline for (0..n) |i| {
                    sums[i][j] = simd.fma(simd.splat(weights[i][from + p]), v, sums[i][j]);
                }
            }
        }
    }
    inline for (1..n) |i| {
        const end = @min(counts[i], range[1] * kv.positions);
        for (@min(end, @max(shared, range[0] * kv.positions))..end) |p| {
            const values = span[p / kv.positions].values;
            inline for (0..wide) |j| {
                const index = p % kv.positions * dim + column + j * lanes;
                const v = loadStored(t, values, index);
                sums[i][j] = simd.fma(simd.splat(weights[i][p]), v, sums[i][j]);
            }
        }
    }
}

/// Merges a later span into a state: with M the larger maximum, both sides are scaled by
/// e^(own maximum - M); sums are fma(old, keep, new * take). An empty state is replaced.
pub fn merge(state: State, part: State) void {
    if (state.total().* == 0) {
        @memcpy(state.base[0 .. state.dim + 2], part.base[0 .. state.dim + 2]);
        return;
    }
    const old = state.top().*;
    const new = part.top().*;
    const most = if (new > old) new else old;
    const powers = math.expDown(2, .{ old - most, new - most });
    const keep = simd.splat(powers[0]);
    const take = simd.splat(powers[1]);
    state.top().* = most;
    const scaled = part.total().* * powers[1];
    state.total().* = math.fma(1, @splat(state.total().*), @splat(powers[0]), @splat(scaled))[0];
    var d: usize = 0;
    while (d < state.dim) : (d += lanes) {
        const sum = simd.load(part.base + d) * take;
        simd.store(state.base + d, simd.fma(simd.load(state.base + d), keep, sum));
    }
}
