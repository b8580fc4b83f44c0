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
/// Units that a tile of few queries is cut into, where its context is long; most kv heads of one.
const few_units = 32;
const max_part = 8;
/// Steps of more rows have enough units without splitting contexts.
const split_rows = 16;

fn argsOf(op: *const abi.Op) *const Args {
    return @ptrCast(&op.args);
}

/// How a step is cut into units: [tile][kv_head][span of the tile, or all]; where contexts are split
/// and a tile has few queries, [tile][span][part of the kv heads].
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
        if (plan.spans == 0) return plan.args.kv_heads;
        return tile.spans * (if (plan.isFew(tile)) plan.parts(tile) else plan.args.kv_heads);
    }

    /// Whether all queries of a kv head share every load: then kv heads are walked as they lie in
    /// memory, one after the other in every page.
    fn isFew(plan: Plan, tile: Tile) bool {
        return tile.rows * plan.args.heads / plan.args.kv_heads <= spans.max_queries;
    }

    /// Parts that the kv heads of a span are cut into: few, for long reads, but many units.
    fn parts(plan: Plan, tile: Tile) u32 {
        const heads = plan.args.kv_heads;
        const whole = @max(1, @min(max_part, heads * tile.spans / few_units));
        return (heads + whole - 1) / whole;
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
        const first = if (begin > before) begin - before else 0;
        for (first..@min(end - before, count)) |unit| {
            const scratch: [*]f32 = @ptrFromInt(thread.scratch);
            if (plan.spans == 0) {
                wholeUnit(&plan, tile, unit, scratch);
            } else if (plan.isFew(tile)) {
                fewUnit(&plan, tile, unit);
            } else splitUnit(&plan, tile, unit / tile.spans, unit % tile.spans, scratch);
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

    /// Tells each page of a few kv heads what is read after it: all keys, all values, then `next`.
    fn chain(heads: []const *[spans.pages]spans.Page, next: usize) void {
        var before: ?*usize = null;
        for (0..spans.pages) |at| for (heads) |pages| {
            if (before) |to| to.* = pages[at].keys;
            before = &pages[at].after_keys;
        };
        for (0..spans.pages) |at| for (heads) |pages| {
            if (before) |to| to.* = pages[at].values;
            before = &pages[at].after_values;
        };
        if (before) |to| to.* = next;
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
        }
        const ahead = (span + 1) * spans.pages;
        const next = if (ahead > last) 0 else group.plan.partOf(group.tile, ahead);
        chain(&.{&pages}, if (next == 0) 0 else next + group.head * keys.head_bytes);
        return pages;
    }

    fn lastPosition(group: *const Group) u32 {
        return group.plan.positions[group.tile.first + group.tile.rows - 1];
    }

    /// Positions of a span that each query takes part with. Returns the first row that reaches it.
    fn countsOf(group: *const Group, span: usize, counts: *[max_states]usize) usize {
        const start = span * spans.positions;
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
        return first;
    }

    /// Sets the states of the queries that reach into a span. Returns the first such row.
    fn attend(group: *Group, span: usize) usize {
        var counts: [max_states]usize = undefined;
        const first = group.countsOf(span, &counts);
        var shape = shapeOf(group.plan.args);
        var pages = group.pagesOf(span);
        var i = first * group.size;
        const end = group.tile.rows * group.size;
        if (end - i >= staged_queries) group.stagePages(&shape, &pages);
        while (i < end) {
            const count = @min(end - i, spans.max_queries);
            inline for (1..spans.max_queries + 1) |n| if (count == n) {
                const queries = group.queries[i..][0..n];
                spans.attend(n, shape, &pages, queries, counts[i..][0..n], group.states[i..][0..n]);
            };
            i += count;
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

fn shapeOf(args: *const Args) spans.Shape {
    return .{
        .head_dim = args.head_dim,
        .dim = kv.padded(args.head_dim),
        .scale = args.scale,
        .keys = spans.storedAs(args.kv_type_k),
        .values = spans.storedAs(args.kv_type_v),
    };
}

/// From so many queries on, a span is converted to floats once, not for each few of them.
const staged_queries = 16;

/// One span of a tile for one kv head, to the partials.
fn splitUnit(plan: *const Plan, tile: Tile, head: usize, span: usize, scratch: [*]f32) void {
    var group = Group.init(plan, tile, head, scratch);
    setPartials(&group, span);
    _ = group.attend(span);
}

/// One span of a tile of few queries for a part of the kv heads, to the partials.
fn fewUnit(plan: *const Plan, tile: Tile, unit: usize) void {
    const parts = plan.parts(tile);
    const span = unit / parts;
    const first = unit % parts * plan.args.kv_heads / parts;
    const last = (unit % parts + 1) * plan.args.kv_heads / parts;
    var groups: [max_part]Few = undefined;
    var heads: [max_part]*[spans.pages]spans.Page = undefined;
    for (groups[0 .. last - first], first.., 0..) |*few, head, i| {
        few.init(plan, tile, head, span);
        heads[i] = &few.pages;
    }
    Group.chain(heads[0 .. last - first], groups[0].pages[spans.pages - 1].after_values);
    // Rows that end before the span have no part in it.
    const before = groups[0].before;
    const count = groups[0].group.size * tile.rows - before;
    inline for (1..spans.max_queries + 1) |n| {
        if (count == n) attendFew(n, shapeOf(plan.args), groups[0 .. last - first]);
    }
}

/// A kv head of a unit of few queries.
const Few = struct {
    group: Group,
    pages: [spans.pages]spans.Page,
    counts: [max_states]usize,
    /// Queries that do not reach the span.
    before: usize,
    weights: [spans.max_queries]spans.Weights,

    fn init(few: *Few, plan: *const Plan, tile: Tile, head: usize, span: usize) void {
        few.group = Group.init(plan, tile, head, undefined);
        setPartials(&few.group, span);
        few.pages = few.group.pagesOf(span);
        few.before = few.group.countsOf(span, &few.counts) * few.group.size;
    }
};

fn attendFew(comptime n: usize, shape: spans.Shape, groups: []Few) void {
    const before = groups[0].before;
    const counts = groups[0].counts[before..][0..n];
    const used = spans.pagesOf(counts[n - 1]);
    for (0..used) |at| for (groups) |*few| {
        const queries = few.group.queries[before..][0..n];
        spans.scorePage(n, shape, &few.pages[at], at, queries, few.weights[0..n]);
    };
    for (groups) |*few| {
        spans.weigh(n, &few.pages, counts, few.group.states[before..][0..n], few.weights[0..n]);
    }
    for (0..used) |at| for (groups) |*few| {
        const states = few.group.states[before..][0..n];
        spans.addPages(n, shape, &few.pages, at, at + 1, counts, states, few.weights[0..n]);
    };
}

fn setPartials(group: *Group, span: usize) void {
    for (0..group.tile.rows) |r| for (0..group.size) |g| {
        group.states[r * group.size + g] =
            group.plan.partial(group.tile.first + r, group.head * group.size + g, span);
    };
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
