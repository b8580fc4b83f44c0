//! Causal attention over the pages of the KV cache, and the merge of contexts that were split.
const std = @import("std");
const abi = @import("../abi.zig");
const blocks = @import("../attention/block.zig");
const kv = @import("../attention/kv.zig");
const simd = @import("../simd.zig");
const State = blocks.State;
const Args = abi.args.Attend;

pub const entries = [_]abi.Entry{
    .{ .op = "attend", .run = run, .units = units, .grain = 1 },
    .{ .op = "attend_combine", .run = combine, .units = combineUnits, .grain = 1 },
};

/// Blocks are merged in ascending order inside a span of this many positions, then spans are: the
/// order of reduction is the same whether or not spans are done by different threads.
const span_positions = 128;
const span_blocks = span_positions / kv.positions;
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
        for (plan.positions[0..step.rows]) |p| most = @max(most, p / span_positions + 1);
        const floats = blocks.stateFloats(args.head_dim) * args.heads * step.rows * most;
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
        const floats = blocks.stateFloats(plan.args.head_dim);
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
                .spans = tiles.plan.positions[first + rows - 1] / span_positions + 1,
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
            if (plan.spans != 0) {
                splitUnit(plan, tile, head, unit % parts);
            } else wholeUnit(plan, tile, head, thread);
        }
    }
}

/// One span of a tile for one kv head, to the partials.
fn splitUnit(plan: Plan, tile: Tile, head: usize, span: usize) void {
    const group = plan.args.heads / plan.args.kv_heads;
    var states: [max_states]State = undefined;
    for (0..tile.rows) |r| for (0..group) |g| {
        const state = plan.partial(tile.first + r, head * group + g, span);
        state.total().* = 0;
        states[r * group + g] = state;
    };
    addSpan(plan, tile, head, span, &states);
}

/// Most states of a tile: heads / kv_heads is at most this (see abi.args.Attend).
const max_states = 128;

/// All spans of a tile for one kv head, to the output.
fn wholeUnit(plan: Plan, tile: Tile, head: usize, thread: *const abi.Thread) void {
    const args = plan.args;
    const group = args.heads / args.kv_heads;
    const count = tile.rows * group;
    const floats = blocks.stateFloats(args.head_dim);
    const dim = kv.padded(args.head_dim);
    const scratch: [*]f32 = @ptrFromInt(thread.scratch);
    var results: [max_states]State = undefined;
    var spans: [max_states]State = undefined;
    for (0..count) |i| {
        results[i] = .{ .base = scratch + 2 * i * floats, .dim = dim };
        spans[i] = .{ .base = scratch + (2 * i + 1) * floats, .dim = dim };
        results[i].total().* = 0;
    }
    for (0..tile.spans) |span| {
        for (spans[0..count]) |state| state.total().* = 0;
        addSpan(plan, tile, head, span, &spans);
        for (0..count) |i| merge(results[i], spans[i]);
    }
    for (0..tile.rows) |r| for (0..group) |g| {
        finish(args, results[r * group + g], tile.first + r, head * group + g);
    };
}

/// Adds the blocks of a span to the states of a tile, [row][head of the group].
fn addSpan(
    plan: Plan,
    tile: Tile,
    head: usize,
    span: usize,
    states: *const [max_states]State,
) void {
    const args = plan.args;
    const group = args.heads / args.kv_heads;
    const keys = kv.Part.init(args.kv_heads, args.head_dim, args.kv_type_k);
    const values = kv.Part.init(args.kv_heads, args.head_dim, args.kv_type_v);
    const first_position = plan.positions[tile.first];
    const last_position = plan.positions[tile.first + tile.rows - 1];
    var queries: [max_states][*]const f32 = undefined;
    const q: [*]const f32 = @ptrFromInt(args.q);
    for (0..tile.rows) |r| for (0..group) |g| {
        queries[r * group + g] = q + (tile.first + r) * args.q_stride +
            (head * group + g) * args.head_dim;
    };
    for (span * span_blocks..(span + 1) * span_blocks) |index| {
        const start = index * kv.positions;
        if (start > last_position) return;
        const at = plan.partOf(tile, index);
        var block: blocks.Block = .{
            .keys = at + head * keys.head_bytes,
            .values = at + keys.bytes + head * values.head_bytes,
            .key_scales = at + keys.scalesAt(args.kv_heads, head),
            .value_scales = at + keys.bytes + values.scalesAt(args.kv_heads, head),
            .count = kv.positions,
        };
        if (start + kv.positions <= last_position) {
            const next = plan.partOf(tile, index + 1);
            block.next_keys = next + head * keys.head_bytes;
            block.next_values = next + keys.bytes + head * values.head_bytes;
        }
        if (start + kv.positions <= first_position + 1) {
            addMany(args, block, queries[0 .. tile.rows * group], states[0 .. tile.rows * group]);
            continue;
        }
        // The block is the last one of some rows: each row has its own count of positions.
        for (0..tile.rows) |r| {
            const position = plan.positions[tile.first + r];
            if (position < start) continue;
            block.count = @min(kv.positions, position - start + 1);
            addMany(args, block, queries[r * group ..][0..group], states[r * group ..][0..group]);
        }
    }
}

/// Adds a block to any number of queries, in the largest groups there are.
fn addMany(
    args: *const Args,
    given: blocks.Block,
    queries: []const [*]const f32,
    states: []const State,
) void {
    const shape: blocks.Shape = .{
        .head_dim = args.head_dim,
        .dim = kv.padded(args.head_dim),
        .scale = args.scale,
        .type_k = @enumFromInt(args.kv_type_k),
        .type_v = @enumFromInt(args.kv_type_v),
    };
    var block = given;
    var i: usize = 0;
    inline for (.{ 8, 4, 2, 1 }) |n| {
        if (n == 8 and !simd.avx512) continue;
        while (i + n <= queries.len) : (i += n) {
            blocks.add(n, shape, block, queries[i..][0..n], states[i..][0..n]);
            // Once is enough.
            block.next_keys = block.keys;
            block.next_values = block.values;
        }
    }
}

/// Merges a later part into a state.
fn merge(state: State, part: State) void {
    if (part.total().* == 0) return;
    var keep: [1]f32 = undefined;
    var take: [1]f32 = undefined;
    blocks.mergeFactors(1, &.{state}, &.{part.top().*}, &.{part.total().*}, &keep, &take);
    var d: usize = 0;
    while (d < state.dim) : (d += simd.lanes) {
        const old = simd.load(state.base + d);
        simd.store(state.base + d, blocks.merged(old, keep[0], simd.load(part.base + d), take[0]));
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
        for (0..plan.positions[row] / span_positions + 1) |span| {
            merge(result, plan.partial(row, head, span));
        }
        finish(plan.args, result, row, head);
    }
}
