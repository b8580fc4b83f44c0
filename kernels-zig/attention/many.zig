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
        for (span[0..used], 0..) |*page, at| {
            const next = if (at + 1 < used) page.after_keys else page.after_values;
            many.score(page, at, next, counts);
        }
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

    /// Meanwhile the page's values and what is scored next are asked for.
    fn score(
        many: *Many,
        page: *const spans.Page,
        at: usize,
        next: usize,
        counts: []const usize,
    ) void {
        const dim = many.shape.head_dim;
        const wide_keys = kv.positions / lanes;
        spans.stage(wide_keys, many.shape.keys, page.keys, dim, kv.positions, many.block);
        var staged: spans.Page = .{
            .keys = @intFromPtr(many.block),
            .key_scales = page.key_scales,
        };
        var shape = many.shape;
        shape.keys = .float;
        var asked: usize = 0;
        var i: usize = 0;
        while (i < counts.len) {
            const count = @min(counts.len - i, spans.max_queries);
            defer i += count;
            if (counts[i + count - 1] <= at * kv.positions) continue;
            staged.after_keys = next +% asked;
            staged.after_values = page.values + asked;
            asked += spans.askedBytes(dim);
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
        for (span, 0..) |*page, at| {
            const element: usize = if (many.shape.values == .byte) 1 else 2;
            const to = many.block + at * kv.positions * width;
            const from = page.values + column * element;
            spans.stage(vectors, many.shape.values, from, kv.positions, many.shape.dim, to);
        }
        var i: usize = 0;
        while (i < counts.len) {
            const count = @min(counts.len - i, spans.max_queries);
            inline for (1..spans.max_queries + 1) |n| if (count == n) {
                many.addTo(n, vectors, counts[i..][0..n], i, column);
            };
            i += count;
        }
    }

    fn addTo(
        many: *Many,
        comptime n: usize,
        comptime vectors: usize,
        counts: *const [n]usize,
        first: usize,
        column: usize,
    ) void {
        const weights = many.weights[first..][0..n];
        var sums: [n][vectors]simd.Lanes = @splat(@splat(simd.zero));
        // All queries share the positions of the first one; the others have some of their own.
        for (0..counts[0]) |p| {
            inline for (0..vectors) |j| {
                const v = simd.load(many.block + (p * vectors + j) * lanes);
                inline for (0..n) |i| {
                    sums[i][j] = simd.fma(simd.splat(weights[i][p]), v, sums[i][j]);
                }
            }
        }
        inline for (1..n) |i| for (counts[0]..counts[i]) |p| {
            inline for (0..vectors) |j| {
                const v = simd.load(many.block + (p * vectors + j) * lanes);
                sums[i][j] = simd.fma(simd.splat(weights[i][p]), v, sums[i][j]);
            }
        };
        const states = many.states[first..][0..n];
        if (!many.started) {
            inline for (0..n) |i| inline for (0..vectors) |j| {
                simd.store(states[i].base + column + j * lanes, sums[i][j]);
            };
            return;
        }
        inline for (0..n) |i| {
            const take = simd.splat(many.take[first + i]);
            const keep = simd.splat(many.keep[first + i]);
            inline for (0..vectors) |j| {
                const to = states[i].base + column + j * lanes;
                simd.store(to, simd.fma(simd.load(to), keep, sums[i][j] * take));
            }
        }
    }
};
