//! Causal attention over the pages of the KV cache, and the merge of contexts that were split.
const std = @import("std");
const abi = @import("../abi.zig");
const kv = @import("../attention/kv.zig");
const many = @import("../attention/many.zig");
const simd = @import("../simd.zig");
const spans = @import("../attention/span.zig");
const State = spans.State;
const Args = abi.args.Attend;

pub const entries = [_]abi.Entry{
    .{ .op = "attend", .run = run, .units = units, .grain = 1 },
    .{ .op = "attend_combine", .run = combine, .units = combineUnits, .grain = 1 },
};

/// Rows of one sequence that share the loads of keys and values, and their queries of a kv head.
const tile_rows = 32;
const tile_queries = many.max_states;
/// Units must be many: a step is cut into so many tiles at least, if they keep half of `tile_rows`.
const enough_tiles = 8;
/// Floats of a thread's scratch that a tile may take.
const scratch_floats = (1 << 20) / 4;
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

/// Floats of a tile's results, with what its attention needs.
fn tileFloats(queries: usize, head_dim: u32) usize {
    return queries * spans.stateFloats(head_dim) + many.scratchFloats(queries, head_dim);
}

/// Adjacent rows of one sequence that end in the same span.
const Tile = struct { sequence: u32, first: u32, rows: u32, spans: u32 };

const Tiles = struct {
    plan: *const Plan,
    rows: u32,
    sequence: u32 = 0,
    offset: u32 = 0,

    fn init(plan: *const Plan) Tiles {
        const group = plan.args.heads / plan.args.kv_heads;
        const head_dim = plan.args.head_dim;
        const few = plan.step.rows < enough_tiles * tile_rows;
        const most: u32 = if (few) tile_rows / 2 else tile_rows;
        var rows: u32 = @max(1, @min(most, tile_queries / group));
        while (rows > 1 and tileFloats(rows * group, head_dim) > scratch_floats) rows /= 2;
        return .{ .plan = plan, .rows = rows };
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
            const in_span = tiles.plan.positions[first] % spans.positions;
            const rows = @min(tiles.rows, end - first, spans.positions - in_span);
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

const max_states = many.max_states;

/// What the queries of a tile and one kv head work with, [row][head of the group].
const Group = struct {
    plan: *const Plan,
    tile: Tile,
    head: usize,
    /// Query heads that share the kv head.
    size: usize,
    /// Queries, and states.
    count: usize,
    queries: [max_states][*]const f32,
    states: [max_states]State,

    fn init(plan: *const Plan, tile: Tile, head: usize) Group {
        const args = plan.args;
        var group: Group = undefined;
        group.plan = plan;
        group.tile = tile;
        group.head = head;
        group.size = args.heads / args.kv_heads;
        group.count = tile.rows * group.size;
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

    /// Positions of a span that each query takes part with.
    fn countsOf(group: *const Group, span: usize, counts: *[max_states]usize) []const usize {
        for (0..group.tile.rows) |r| {
            const position = group.plan.positions[group.tile.first + r];
            const count = @min(spans.positions, position - span * spans.positions + 1);
            @memset(counts[r * group.size ..][0..group.size], count);
        }
        return counts[0..group.count];
    }

    /// States among the partials.
    fn setPartials(group: *Group, span: usize) void {
        for (0..group.tile.rows) |r| for (0..group.size) |g| {
            group.states[r * group.size + g] =
                group.plan.partial(group.tile.first + r, group.head * group.size + g, span);
        };
    }

    /// States in scratch. Returns what is left of it.
    fn setScratch(group: *Group, scratch: [*]f32) [*]f32 {
        const floats = spans.stateFloats(group.plan.args.head_dim);
        const dim = kv.padded(group.plan.args.head_dim);
        for (group.states[0..group.count], 0..) |*state, i| {
            state.* = .{ .base = scratch + i * floats, .dim = dim };
        }
        return scratch + group.count * floats;
    }

    /// Attention of many queries over spans first..last-1, to the states.
    fn attendMany(group: *const Group, first: usize, last: usize, scratch: [*]f32) void {
        const queries = group.queries[0..group.count];
        const states = group.states[0..group.count];
        var tile = many.Many.init(shapeOf(group.plan.args), queries, states, scratch);
        var counts: [max_states]usize = undefined;
        for (first..last) |span| tile.add(&group.pagesOf(span), group.countsOf(span, &counts));
        tile.finish();
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

/// One span of a tile for one kv head, to the partials.
fn splitUnit(plan: *const Plan, tile: Tile, head: usize, span: usize, scratch: [*]f32) void {
    var group = Group.init(plan, tile, head);
    group.setPartials(span);
    group.attendMany(span, span + 1, scratch);
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
        few.group = Group.init(plan, tile, head);
        few.group.setPartials(span);
        few.set(span);
        heads[i] = &few.pages;
    }
    Group.chain(heads[0 .. last - first], groups[0].pages[spans.pages - 1].after_values);
    attendFew(groups[0 .. last - first]);
}

/// A kv head of a unit of few queries.
const Few = struct {
    group: Group,
    pages: [spans.pages]spans.Page,
    counts: [max_states]usize,
    weights: [spans.max_queries]spans.Weights,

    fn set(few: *Few, span: usize) void {
        few.pages = few.group.pagesOf(span);
        _ = few.group.countsOf(span, &few.counts);
    }
};

fn attendFew(groups: []Few) void {
    const shape = shapeOf(groups[0].group.plan.args);
    inline for (1..spans.max_queries + 1) |n| {
        if (groups[0].group.count == n) attendOf(n, shape, groups);
    }
}

fn attendOf(comptime n: usize, shape: spans.Shape, groups: []Few) void {
    const counts = groups[0].counts[0..n];
    const used = spans.pagesOf(counts[n - 1]);
    for (0..used) |at| for (groups) |*few| {
        const queries = few.group.queries[0..n];
        spans.scorePage(n, shape, &few.pages[at], at, queries, few.weights[0..n]);
    };
    for (groups) |*few| {
        var softened: [n]spans.Softened = undefined;
        spans.weigh(&few.pages, counts, few.weights[0..n], &softened);
        for (softened, few.group.states[0..n]) |s, state| {
            state.top().* = s.top;
            state.total().* = s.total;
        }
    }
    for (0..used) |at| for (groups) |*few| {
        const states = few.group.states[0..n];
        spans.addPages(n, shape, &few.pages, at, at + 1, counts, states, few.weights[0..n]);
    };
}

/// All spans of a tile for one kv head, to the output.
fn wholeUnit(plan: *const Plan, tile: Tile, head: usize, scratch: [*]f32) void {
    var group = Group.init(plan, tile, head);
    const rest = group.setScratch(scratch);
    if (plan.isFew(tile)) wholeFew(&group, rest) else group.attendMany(0, tile.spans, rest);
    for (0..tile.rows) |r| for (0..group.size) |g| {
        const state = group.states[r * group.size + g];
        finish(plan.args, state, tile.first + r, head * group.size + g);
    };
}

/// Attention of few queries over all spans, to the states.
fn wholeFew(group: *Group, scratch: [*]f32) void {
    var few: [1]Few = undefined;
    few[0].group = group.*;
    _ = few[0].group.setScratch(scratch);
    for (group.states[0..group.count]) |state| state.total().* = 0;
    for (0..group.tile.spans) |span| {
        few[0].set(span);
        attendFew(&few);
        for (group.states[0..group.count], few[0].group.states[0..group.count]) |state, part| {
            spans.merge(state, part);
        }
    }
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
