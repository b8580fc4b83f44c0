//! Causal attention over the pages of the KV cache, and the merge of contexts that were split.
const std = @import("std");
const abi = @import("../abi.zig");
const kv = @import("../attention/kv.zig");
const simd = @import("../simd.zig");
const spans = @import("../attention/span.zig");
const State = spans.State;
const Args = abi.args.Attend;

pub const entries = [_]abi.Entry{
    .{ .op = "attend", .run = run, .units = units, .grain = 1 },
    .{ .op = "attend_combine", .run = combine, .units = combineUnits, .grain = 1 },
};

/// Rows of one sequence that share the loads of keys and values.
const tile_rows = 8;
/// Steps of more rows have enough units without splitting contexts.
const split_rows = 16;

fn argsOf(op: *const abi.Op) *const Args {
    return @ptrCast(&op.args);
}

/// How a step is cut into units: [tile][kv_head][span of the tile, or all].
const Plan = struct {
    args: *const Args,
    step: *const abi.Step,
    positions: [*]const u32,
    sequence_rows: [*]const u32,
    /// Spans a row has room for in the partials, 0 without splitting.
    spans: u32,

    fn init(op: *const abi.Op, step: *const abi.Step) Plan {
        const args = argsOf(op);
        var plan: Plan = .{
            .args = args,
            .step = step,
            .positions = @ptrFromInt(step.positions),
            .sequence_rows = @ptrFromInt(step.sequence_rows),
            .spans = 0,
        };
        if (args.combined == 0 or args.partials == 0 or step.rows > split_rows) return plan;
        var most: u32 = 0;
        for (plan.positions[0..step.rows]) |p| most = @max(most, p / spans.positions + 1);
        const floats = spans.stateFloats(args.head_dim) * args.heads * step.rows * most;
        if (most > 1 and floats * 4 <= args.partials_bytes) plan.spans = most;
        return plan;
    }

    fn unitsOf(plan: Plan, tile: Tile) u32 {
        return plan.args.kv_heads * if (plan.spans == 0) 1 else tile.spans;
    }

    /// Where the page of a block of 32 positions holds this layer.
    fn partOf(plan: Plan, tile: Tile, block: usize) u64 {
        const page = kv.pageOf(plan.step, tile.sequence, block);
        return plan.args.kv + page * plan.args.page_bytes + plan.args.layer_offset;
    }

    /// The state of a row, head and span among the partials.
    fn partial(plan: Plan, row: usize, head: usize, span: usize) State {
        const floats = spans.stateFloats(plan.args.head_dim);
        const index = (row * plan.args.heads + head) * plan.spans + span;
        const base: [*]f32 = @ptrFromInt(plan.args.partials);
        return .{ .base = base + index * floats, .dim = kv.padded(plan.args.head_dim) };
    }
};

/// Adjacent rows of one sequence.
const Tile = struct { sequence: u32, first: u32, rows: u32, spans: u32 };

const Tiles = struct {
    plan: *const Plan,
    rows: u32,
    sequence: u32 = 0,
    offset: u32 = 0,

    fn init(plan: *const Plan) Tiles {
        // The states of a tile must fit a thread's scratch.
        const group = plan.args.heads / plan.args.kv_heads;
        return .{ .plan = plan, .rows = @max(1, @min(tile_rows, 64 / group)) };
    }

    fn next(tiles: *Tiles) ?Tile {
        const bounds = tiles.plan.sequence_rows;
        while (tiles.sequence < tiles.plan.step.sequences) {
            const first = bounds[tiles.sequence] + tiles.offset;
            const end = bounds[tiles.sequence + 1];
            if (first >= end) {
                tiles.sequence += 1;
                tiles.offset = 0;
                continue;
            }
            const rows = @min(tiles.rows, end - first);
            tiles.offset += rows;
            return .{
                .sequence = tiles.sequence,
                .first = first,
                .rows = rows,
                .spans = tiles.plan.positions[first + rows - 1] / spans.positions + 1,
            };
        }
        return null;
    }
};

fn units(op: *const abi.Op, step: *const abi.Step) callconv(.c) u32 {
    const plan = Plan.init(op, step);
    var tiles = Tiles.init(&plan);
    var count: u32 = 0;
    while (tiles.next()) |tile| count += plan.unitsOf(tile);
    return count;
}

fn run(
    op: *const abi.Op,
    step: *const abi.Step,
    thread: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const plan = Plan.init(op, step);
    var tiles = Tiles.init(&plan);
    var before: u32 = 0;
    while (tiles.next()) |tile| {
        const count = plan.unitsOf(tile);
        defer before += count;
        if (before >= end) return;
        if (before + count <= begin) continue;
        const parts = count / plan.args.kv_heads;
        const first = if (begin > before) begin - before else 0;
        for (first..@min(end - before, count)) |unit| {
            const head = unit / parts;
            const scratch: [*]f32 = @ptrFromInt(thread.scratch);
            if (plan.spans != 0) {
                splitUnit(&plan, tile, head, unit % parts, scratch);
            } else wholeUnit(&plan, tile, head, scratch);
        }
    }
}

/// Most states of a tile: heads / kv_heads is at most this (see abi.args.Attend).
const max_states = 128;

/// What the queries of a tile and one kv head work with, [row][head of the group].
const Group = struct {
    plan: *const Plan,
    tile: Tile,
    head: usize,
    /// Query heads that share the kv head.
    size: usize,
    queries: [max_states][*]const f32,
    states: [max_states]State,
    /// Room for a span's keys and values as floats.
    stage: [*]f32,

    fn init(plan: *const Plan, tile: Tile, head: usize, stage: [*]f32) Group {
        const args = plan.args;
        var group: Group = undefined;
        group.plan = plan;
        group.tile = tile;
        group.head = head;
        group.size = args.heads / args.kv_heads;
        group.stage = stage;
        const q: [*]const f32 = @ptrFromInt(args.q);
        for (0..tile.rows) |r| for (0..group.size) |g| {
            group.queries[r * group.size + g] = q + (tile.first + r) * args.q_stride +
                (head * group.size + g) * args.head_dim;
        };
        return group;
    }

    /// The pages of a span; what lies past the tile's last position is left out.
    fn pagesOf(group: *const Group, span: usize) [spans.pages]spans.Page {
        const args = group.plan.args;
        const keys = kv.Part.init(args.kv_heads, args.head_dim, args.kv_type_k);
        const values = kv.Part.init(args.kv_heads, args.head_dim, args.kv_type_v);
        const last = group.lastPosition() / kv.positions;
        var pages: [spans.pages]spans.Page = @splat(.{});
        for (&pages, span * spans.pages..) |*page, index| {
            if (index > last) break;
            const at = group.plan.partOf(group.tile, index);
            page.keys = at + group.head * keys.head_bytes;
            page.values = at + keys.bytes + group.head * values.head_bytes;
            if (keys.element == 1) {
                page.key_scales = at + keys.scalesAt(args.kv_heads, group.head);
            }
            if (values.element == 1) {
                page.value_scales = at + keys.bytes + values.scalesAt(args.kv_heads, group.head);
            }
            if (index + spans.pages <= last) {
                const ahead = group.plan.partOf(group.tile, index + spans.pages);
                page.ahead = ahead + group.head * keys.head_bytes;
            }
        }
        return pages;
    }

    fn lastPosition(group: *const Group) u32 {
        return group.plan.positions[group.tile.first + group.tile.rows - 1];
    }

    /// Sets the states of the queries that reach into a span. Returns the first such row.
    fn attend(group: *Group, span: usize) usize {
        const args = group.plan.args;
        const start = span * spans.positions;
        var counts: [max_states]usize = undefined;
        var first: usize = 0;
        for (0..group.tile.rows) |r| {
            const position = group.plan.positions[group.tile.first + r];
            if (position < start) {
                first = r + 1;
                continue;
            }
            const count = @min(spans.positions, position - start + 1);
            @memset(counts[r * group.size ..][0..group.size], count);
        }
        var shape: spans.Shape = .{
            .head_dim = args.head_dim,
            .dim = kv.padded(args.head_dim),
            .scale = args.scale,
            .keys = spans.storedAs(args.kv_type_k),
            .values = spans.storedAs(args.kv_type_v),
        };
        var pages = group.pagesOf(span);
        var i = first * group.size;
        const end = group.tile.rows * group.size;
        if (end - i >= staged_queries) group.stagePages(&shape, &pages);
        inline for (.{ 8, 4, 2, 1 }) |n| {
            if (n > spans.max_queries) continue;
            while (i + n <= end) : (i += n) {
                const queries = group.queries[i..][0..n];
                spans.attend(n, shape, &pages, queries, counts[i..][0..n], group.states[i..][0..n]);
            }
        }
        return first;
    }

    fn stagePages(group: *const Group, shape: *spans.Shape, pages: *[spans.pages]spans.Page) void {
        const elements = kv.positions * shape.dim;
        for (pages, 0..) |*page, i| {
            if (page.keys == 0) break;
            const to = group.stage + 2 * i * elements;
            spans.stage(shape.keys, page.keys, kv.positions * shape.head_dim, to);
            spans.stage(shape.values, page.values, elements, to + elements);
            page.keys = @intFromPtr(to);
            page.values = @intFromPtr(to + elements);
        }
        shape.keys = .float;
        shape.values = .float;
    }
};

/// From so many queries on, a span is converted to floats once, not for each few of them.
const staged_queries = 16;

/// One span of a tile for one kv head, to the partials.
fn splitUnit(plan: *const Plan, tile: Tile, head: usize, span: usize, scratch: [*]f32) void {
    var group = Group.init(plan, tile, head, scratch);
    for (0..tile.rows) |r| for (0..group.size) |g| {
        group.states[r * group.size + g] =
            plan.partial(tile.first + r, head * group.size + g, span);
    };
    _ = group.attend(span);
}

/// All spans of a tile for one kv head, to the output.
fn wholeUnit(plan: *const Plan, tile: Tile, head: usize, scratch: [*]f32) void {
    const args = plan.args;
    const floats = spans.stateFloats(args.head_dim);
    const dim = kv.padded(args.head_dim);
    const count = tile.rows * (args.heads / args.kv_heads);
    var group = Group.init(plan, tile, head, scratch + 2 * count * floats);
    var results: [max_states]State = undefined;
    for (0..count) |i| {
        results[i] = .{ .base = scratch + 2 * i * floats, .dim = dim };
        group.states[i] = .{ .base = scratch + (2 * i + 1) * floats, .dim = dim };
        results[i].total().* = 0;
    }
    for (0..tile.spans) |span| {
        const first = group.attend(span);
        for (first * group.size..count) |i| spans.merge(results[i], group.states[i]);
    }
    for (0..tile.rows) |r| for (0..group.size) |g| {
        finish(args, results[r * group.size + g], tile.first + r, head * group.size + g);
    };
}

fn finish(args: *const Args, state: State, row: usize, head: usize) void {
    const out = @as([*]f32, @ptrFromInt(args.out)) + row * args.out_stride + head * args.head_dim;
    const inverse = simd.splat(1 / state.total().*);
    const n = args.head_dim;
    var d: usize = 0;
    while (d + simd.lanes <= n) : (d += simd.lanes) {
        simd.store(out + d, simd.load(state.base + d) * inverse);
    }
    if (d < n) simd.storeTail(out + d, simd.load(state.base + d) * inverse, n - d);
}

fn combineUnits(op: *const abi.Op, step: *const abi.Step) callconv(.c) u32 {
    const plan = Plan.init(op, step);
    return if (plan.spans == 0) 0 else step.rows * plan.args.heads;
}

fn combine(
    op: *const abi.Op,
    step: *const abi.Step,
    thread: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const plan = Plan.init(op, step);
    const result: State = .{
        .base = @ptrFromInt(thread.scratch),
        .dim = kv.padded(plan.args.head_dim),
    };
    for (begin..end) |unit| {
        const row = unit / plan.args.heads;
        const head = unit % plan.args.heads;
        result.total().* = 0;
        for (0..plan.positions[row] / spans.positions + 1) |span| {
            spans.merge(result, plan.partial(row, head, span));
        }
        finish(plan.args, result, row, head);
    }
}
