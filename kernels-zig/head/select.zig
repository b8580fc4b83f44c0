//! From upper bounds to the exact top logits: threshold, candidates, exact logits, the top ones.
const std = @import("std");
const abi = @import("../abi.zig");
const float = @import("../linear/float.zig");
const planes = @import("plane.zig");
const screen = @import("screen.zig");
const simd = @import("../simd.zig");

const Head = abi.args.Head;
const Work = screen.Work;
const lanes = simd.lanes;
/// Units into which the exact evaluation of a logit row's candidates is cut.
const slices = 32;
/// Largest `top`.
pub const max_top = 1024;

fn argsOf(op: *const abi.Op) *const Head {
    return @ptrCast(&op.args);
}

pub fn sliceUnits(_: *const abi.Op, step: *const abi.Step) callconv(.c) u32 {
    return step.logit_rows * slices;
}

/// A list of the best (value, id), descending, ties to the lower id.
const Best = struct {
    values: []f32,
    ids: []u32,
    length: usize = 0,

    fn add(best: *Best, value: f32, id: u32) void {
        var i = best.length;
        if (i == best.values.len) {
            if (!before(value, id, best.values[i - 1], best.ids[i - 1])) return;
            i -= 1;
        } else best.length += 1;
        while (i > 0 and before(value, id, best.values[i - 1], best.ids[i - 1])) : (i -= 1) {
            best.values[i] = best.values[i - 1];
            best.ids[i] = best.ids[i - 1];
        }
        best.values[i] = value;
        best.ids[i] = id;
    }

    fn before(value: f32, id: u32, other: f32, other_id: u32) bool {
        return value > other or (value == other and id < other_id);
    }
};

pub fn Exact(comptime layout: type) type {
    return struct {
        /// A lower bound of the top-th largest sum, from exact sums of the rows that look best;
        /// then the list of all groups of 4 rows where one may reach it.
        pub fn threshold(
            op: *const abi.Op,
            _: *const abi.Step,
            _: *const abi.Thread,
            begin: u32,
            end: u32,
        ) callconv(.c) void {
            const a = argsOf(op);
            for (begin..end) |r| {
                const work = Work.of(a, @intCast(r));
                list(a, work, lowerBound(a, work, @intCast(r)));
            }
        }

        fn lowerBound(a: *const Head, work: Work, row: u32) f32 {
            const blocks = planes.rowBlocks(a.n);
            const none = -std.math.inf(f32);
            if (a.top > blocks or a.top > max_top) return none;
            var values: [max_top]f32 = undefined;
            var ids: [max_top]u32 = undefined;
            var best: Best = .{ .values = values[0..a.top], .ids = ids[0..a.top] };
            for (0..blocks) |b| best.add(work.best[b], work.best_row[b]);
            // A mask left too few blocks: all that it left stay.
            if (best.values[a.top - 1] == none) return none;
            var least = std.math.inf(f32);
            for (best.ids) |id| least = @min(least, exact(a, row, id / 4 * 4)[id % 4]);
            // NaN: nothing can be said, all rows stay.
            return if (least == least) least else none;
        }

        fn list(a: *const Head, work: Work, least: f32) void {
            const bound = simd.splat(least);
            var count: u32 = 0;
            for (0..planes.rowBlocks(a.n)) |b| {
                const upper = simd.load(work.upper + b * lanes);
                // Not below, so that NaN stays; what a mask or the end left out does not.
                const closed = upper == simd.splat(-std.math.inf(f32));
                const out = @select(bool, closed, closed, upper < bound);
                if (@reduce(.And, out)) continue;
                const outs: [lanes]bool = out;
                inline for (0..lanes / 4) |g| {
                    const all_out = outs[4 * g] and outs[4 * g + 1] and
                        outs[4 * g + 2] and outs[4 * g + 3];
                    if (!all_out and b * lanes + 4 * g < a.n) {
                        work.candidates[count] = @intCast(b * lanes + 4 * g);
                        count += 1;
                    }
                }
            }
            work.scalars.count = count;
        }

        fn exact(a: *const Head, row: u32, first: u32) [float.run_rows]f32 {
            const x = @as([*]const f32, @ptrFromInt(a.x)) + @as(u64, row) * a.x_stride;
            return layout.fourRows(a.weight, a.k, first, x);
        }

        /// Exact logits of the candidates, kept in place of their bounds.
        pub fn rescore(
            op: *const abi.Op,
            _: *const abi.Step,
            _: *const abi.Thread,
            begin: u32,
            end: u32,
        ) callconv(.c) void {
            const a = argsOf(op);
            for (begin..end) |unit| {
                const row: u32 = @intCast(unit / slices);
                const slice = unit % slices;
                const work = Work.of(a, row);
                const count: u64 = work.scalars.count;
                const from = count * slice / slices;
                const to = count * (slice + 1) / slices;
                for (work.candidates[from..to]) |first| evaluate(a, work, row, first);
            }
        }

        fn evaluate(a: *const Head, work: Work, row: u32, first: u32) void {
            const sums = exact(a, row, first);
            for (0..@min(float.run_rows, a.n - first)) |i| {
                if (!isOpen(a, row, first + @as(u32, @intCast(i)))) continue;
                const logit = if (a.multiplier == 1) sums[i] else sums[i] * a.multiplier;
                work.upper[first + i] = logit;
                if (a.logits == 0) continue;
                const logits = @as([*]f32, @ptrFromInt(a.logits)) + @as(u64, row) * a.logits_stride;
                logits[first + i] = logit;
            }
        }
    };
}

fn isOpen(a: *const Head, row: u32, id: u32) bool {
    const mask = screen.maskOf(a, row) orelse return true;
    return mask[id / lanes] >> @intCast(id % lanes) & 1 != 0;
}

/// The top ones among the candidates.
pub fn top(
    op: *const abi.Op,
    _: *const abi.Step,
    _: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const a = argsOf(op);
    for (begin..end) |r| {
        const work = Work.of(a, @intCast(r));
        if (a.counts != 0) {
            @as([*]u32, @ptrFromInt(a.counts))[r] = work.scalars.count * float.run_rows;
        }
        if (a.ids == 0 or a.values == 0) continue;
        const values = @as([*]f32, @ptrFromInt(a.values)) + r * a.top;
        const ids = @as([*]u32, @ptrFromInt(a.ids)) + r * a.top;
        const length = @min(a.top, a.n);
        var best: Best = .{ .values = values[0..length], .ids = ids[0..length] };
        for (work.candidates[0..work.scalars.count]) |first| {
            for (first..@min(first + float.run_rows, a.n)) |id| {
                const value = work.upper[id];
                best.add(if (value == value) value else -std.math.inf(f32), @intCast(id));
            }
        }
    }
}
