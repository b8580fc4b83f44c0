//! Attention of many queries of one kv head over its spans: blocks of keys and of values become
//! floats once, and all queries use a block while it is in the nearest cache. The order is span.zig's.
const std = @import("std");
const kv = @import("kv.zig");
const math = @import("../math.zig");
const simd = @import("../simd.zig");
const spans = @import("span.zig");
const State = spans.State;
const lanes = simd.lanes;

/// Most queries: heads / kv_heads is at most this (see abi.args.Attend).
pub const max_states = 128;
const Scalars = [max_states]f32;
/// Vectors of value columns that are staged together.
const wide = if (simd.avx512) 2 else 1;
const block_columns = wide * lanes;

/// Floats of scratch for so many queries.
pub fn scratchFloats(count: usize, head_dim: u32) usize {
    const block = @max(kv.positions * kv.padded(head_dim), spans.positions * block_columns);
    return count * spans.positions + block;
}

pub const Many = struct {
    shape: spans.Shape,
    queries: []const [*]const f32,
    /// Where the weighted sums of values are; their maximum and sum are set by `finish`.
    states: []const State,
    weights: [*]spans.Weights,
    /// Keys of a page or some columns of a span's values, as floats.
    block: [*]f32,
    started: bool = false,
    tops: Scalars = @splat(0),
    totals: Scalars = @splat(0),
    /// What sums are multiplied with when a span is merged: those before it, and its own.
    keep: Scalars = @splat(0),
    take: Scalars = @splat(0),

    pub fn init(
        shape: spans.Shape,
        queries: []const [*]const f32,
        states: []const State,
        scratch: [*]f32,
    ) Many {
        return .{
            .shape = shape,
            .queries = queries,
            .states = states,
            .weights = @ptrCast(scratch),
            .block = scratch + queries.len * spans.positions,
        };
    }

    /// Merges the next span; query i takes part with counts[i] positions, which do not fall with i.
    pub fn add(many: *Many, span: *const [spans.pages]spans.Page, counts: []const usize) void {
        const used = spans.pagesOf(counts[counts.len - 1]);
        for (span[0..used], 0..) |*page, at| many.score(page, at, counts);
        var softened: [max_states]spans.Softened = undefined;
        spans.weigh(span, counts, many.weights[0..counts.len], softened[0..counts.len]);
        many.mergeScalars(softened[0..counts.len]);
        var column: usize = 0;
        while (column + block_columns <= many.shape.dim) : (column += block_columns) {
            many.addValues(wide, span[0..used], counts, column);
        }
        while (column < many.shape.dim) : (column += lanes) {
            many.addValues(1, span[0..used], counts, column);
        }
        many.started = true;
    }

    pub fn finish(many: *const Many) void {
        for (many.states, 0..) |state, i| {
            state.top().* = many.tops[i];
            state.total().* = many.totals[i];
        }
    }

    fn score(many: *Many, page: *const spans.Page, at: usize, counts: []const usize) void {
        const dim = many.shape.head_dim;
        spans.stage(many.shape.keys, page.keys, dim, kv.positions, kv.positions, many.block);
        const staged: spans.Page = .{
            .keys = @intFromPtr(many.block),
            .key_scales = page.key_scales,
        };
        var shape = many.shape;
        shape.keys = .float;
        var i: usize = 0;
        while (i < counts.len) {
            const count = @min(counts.len - i, spans.max_queries);
            defer i += count;
            if (counts[i + count - 1] <= at * kv.positions) continue;
            inline for (1..spans.max_queries + 1) |n| if (count == n) {
                const queries = many.queries[i..][0..n];
                spans.scorePage(n, shape, &staged, at, queries, many.weights[i..][0..n]);
            };
        }
    }

    /// As spans.merge does it, for 16 queries at once.
    fn mergeScalars(many: *Many, softened: []const spans.Softened) void {
        var tops: Scalars = undefined;
        var totals: Scalars = undefined;
        for (softened, 0..) |s, i| {
            tops[i] = s.top;
            totals[i] = s.total;
        }
        if (!many.started) {
            many.tops = tops;
            many.totals = totals;
            return;
        }
        var i: usize = 0;
        while (i < softened.len) : (i += lanes) {
            const old = simd.load(many.tops[i..].ptr);
            const new = simd.load(tops[i..].ptr);
            const most = simd.larger(new, old);
            const keep = math.expDown(lanes, old - most);
            const take = math.expDown(lanes, new - most);
            simd.store(many.keep[i..].ptr, keep);
            simd.store(many.take[i..].ptr, take);
            simd.store(many.tops[i..].ptr, most);
            const scaled = simd.load(totals[i..].ptr) * take;
            const total = simd.fma(simd.load(many.totals[i..].ptr), keep, scaled);
            simd.store(many.totals[i..].ptr, total);
        }
    }

    fn addValues(
        many: *Many,
        comptime vectors: usize,
        span: []const spans.Page,
        counts: []const usize,
        column: usize,
    ) void {
        const width = vectors * lanes;
        var staged: [spans.pages]spans.Page = @splat(.{});
        for (span, 0..) |*page, at| {
            const element: usize = if (many.shape.values == .byte) 1 else 2;
            const to = many.block + at * kv.positions * width;
            const from = page.values + column * element;
            spans.stage(many.shape.values, from, kv.positions, many.shape.dim, width, to);
            staged[at].values = @intFromPtr(to);
        }
        var i: usize = 0;
        while (i < counts.len) {
            const count = @min(counts.len - i, spans.max_queries);
            inline for (1..spans.max_queries + 1) |n| if (count == n) {
                many.addTo(n, vectors, &staged, counts[i..][0..n], i, column);
            };
            i += count;
        }
    }

    fn addTo(
        many: *Many,
        comptime n: usize,
        comptime vectors: usize,
        staged: *const [spans.pages]spans.Page,
        counts: *const [n]usize,
        first: usize,
        column: usize,
    ) void {
        const weights = many.weights[first..][0..n];
        const range = .{ 0, spans.pagesOf(counts[n - 1]) };
        var sums: [n][vectors]simd.Lanes = @splat(@splat(simd.zero));
        const width = vectors * lanes;
        spans.addColumns(n, vectors, .float, width, staged, range, counts, weights, 0, &sums);
        inline for (0..n) |i| {
            const take = simd.splat(many.take[first + i]);
            const keep = simd.splat(many.keep[first + i]);
            inline for (0..vectors) |j| {
                const to = many.states[first + i].base + column + j * lanes;
                const sum = sums[i][j];
                const merged = simd.fma(simd.load(to), keep, sum * take);
                simd.store(to, if (many.started) merged else sum);
            }
        }
    }
};
