//! Ternary linear whose weight scales (and perhaps activation scales) are one a group of columns.
//! The exact integer sum of each segment is scaled and added in ascending order (see epilogue.zig).
const std = @import("std");
const abi = @import("../abi.zig");
const dot = @import("dot.zig");
const epilogue = @import("epilogue.zig");
const panel = @import("panel.zig");
const Part = @import("ternary.zig").Part;

const F = epilogue.F;
const RowScale = abi.RowScale;
const lanes = epilogue.lanes;

/// Tokens of a unit.
pub const chunk = 64;
/// Rows of x up to which weights are decoded straight into the products.
const direct_rows = 4;
/// Segments of a row at most: columns <= 32768 with groups of 32.
const max_segments = 1024;

/// What a unit keeps in the thread's scratch.
const Scratch = extern struct {
    codes: [panel.bytes]u8 align(64),
    sums: [chunk]panel.Sums,
    scaled: [chunk][panel.blocks]F,
    scales: [panel.blocks][max_segments]F,
    inputs: [max_segments][chunk]i32,
};

comptime {
    std.debug.assert(@sizeOf(Scratch) <= 1 << 20);
}

const Segments = struct {
    columns: u32,
    group: u32,
    q_block: u32,

    fn of(a: *const abi.args.Linear) Segments {
        const columns = if (a.q_block == 0) a.group else @min(a.group, a.q_block);
        return .{ .columns = columns, .group = a.group, .q_block = a.q_block };
    }

    fn groupOf(segments: Segments, segment: u32) u32 {
        return segment * segments.columns / segments.group;
    }
};

pub fn run(comptime Layout: type, part: Part, thread: *const abi.Thread) void {
    const scratch: *Scratch = @ptrFromInt(thread.scratch);
    const a = part.a;
    const segments = Segments.of(a);
    sumInputs(part, segments.columns, &scratch.inputs);
    var first: u32 = 0;
    while (first < part.blocks) : (first += panel.blocks) {
        var piece = part;
        piece.first_block += first;
        piece.blocks = @min(panel.blocks, part.blocks - first);
        runPanel(Layout, piece, segments, scratch);
    }
}

fn runPanel(comptime Layout: type, part: Part, segments: Segments, scratch: *Scratch) void {
    for (0..part.blocks) |b| {
        columnScales(part.a, part.first_block + @as(u32, @intCast(b)), &scratch.scales[b]);
    }
    for (0..part.rows) |r| scratch.scaled[r] = @splat(@splat(0));
    if (part.rows <= direct_rows) {
        direct(Layout, part, segments, scratch);
    } else many(Layout, part, segments, scratch);
    finish(part, scratch);
}

/// Few rows: weights are decoded in registers.
fn direct(comptime Layout: type, part: Part, segments: Segments, scratch: *Scratch) void {
    for (0..part.blocks) |b| {
        inline for (1..direct_rows + 1) |rows| {
            if (part.rows == rows) directBlock(Layout, rows, part, @intCast(b), segments, scratch);
        }
    }
}

fn directBlock(
    comptime Layout: type,
    comptime rows: u32,
    part: Part,
    block: u32,
    segments: Segments,
    scratch: *Scratch,
) void {
    const steps = (part.a.k + 3) / 4;
    const segment_steps = segments.columns / 4;
    const w = Layout.weights(part, block);
    const x = part.activations(0);
    var segment: u32 = 0;
    var at: u32 = 0;
    while (at < steps) : (segment += 1) {
        const end = @min(at + segment_steps, steps);
        const sums = Layout.rangeDot(rows, w, x, part.a.x_stride, at, end);
        addSegment(part, segments, segment, block, &sums, scratch);
        at = end;
    }
}

fn many(comptime Layout: type, part: Part, segments: Segments, scratch: *Scratch) void {
    const a = part.a;
    const steps = (a.k + 3) / 4;
    const segment_steps = segments.columns / 4;
    const panel_steps = Layout.panelSteps();
    var at: u32 = 0;
    var in_panel: u32 = 0;
    while (at < steps) {
        if (in_panel == 0) {
            Layout.unpack(part, at, @min(panel_steps, steps - at), &scratch.codes);
        }
        const in_segment = at % segment_steps;
        const to_end = @min(segment_steps - in_segment, steps - at);
        const some = @min(to_end, panel_steps - in_panel);
        panel.multiply(
            @as([*]const u8, &scratch.codes) + in_panel * panel.step_bytes,
            some,
            part.activations(0) + at * 4,
            a.x_stride,
            part.rows,
            &scratch.sums,
            in_segment != 0,
        );
        if (some == to_end) {
            for (0..part.blocks) |b| {
                var sums: [chunk]dot.Total = undefined;
                for (0..part.rows) |r| sums[r] = scratch.sums[r][b];
                const block: u32 = @intCast(b);
                addSegment(part, segments, at / segment_steps, block, sums[0..part.rows], scratch);
            }
        }
        at += some;
        in_panel = (in_panel + some) % panel_steps;
    }
}

/// Sums of the activations of each segment, which codes = trit + 1 count too much.
fn sumInputs(part: Part, columns: u32, out: *[max_segments][chunk]i32) void {
    for (0..part.rows) |r| {
        const x = part.activations(@intCast(r));
        var at: u32 = 0;
        while (at < part.a.k) : (at += columns) {
            // Rows are padded with zeros to whole vectors, and groups are whole vectors but the last.
            const end = @min(at + columns, part.a.k);
            var sum: @Vector(lanes, i32) = @splat(0);
            var i = at;
            while (i < end) : (i += lanes) sum += @as(@Vector(lanes, i8), x[i..][0..lanes].*);
            out[at / columns][r] = @reduce(.Add, sum);
        }
    }
}

/// scale[16 rows][groups] to out[group], one vector of 16 rows each.
fn columnScales(a: *const abi.args.Linear, block: u32, out: *[max_segments]F) void {
    const groups = (a.k + a.group - 1) / a.group;
    const scales: [*]const f32 = @ptrFromInt(a.scale);
    const rows = @min(lanes, a.n - block * lanes);
    const from = scales + @as(u64, block) * lanes * groups;
    if (rows == lanes) {
        for (0..groups) |g| {
            var values: F = undefined;
            inline for (0..lanes) |r| values[r] = from[r * groups + g];
            out[g] = values;
        }
    } else for (0..groups) |g| {
        var values: [lanes]f32 = @splat(0);
        for (0..rows) |r| values[r] = from[r * groups + g];
        out[g] = values;
    }
}

inline fn addSegment(
    part: Part,
    segments: Segments,
    segment: u32,
    block: u32,
    sums: []const dot.Total,
    scratch: *Scratch,
) void {
    const scales = scratch.scales[block][segments.groupOf(segment)];
    for (sums, 0..) |whole, r| {
        const input: dot.Total = @splat(scratch.inputs[segment][r]);
        const sum: F = @floatFromInt(whole - input);
        var factor = scales;
        if (segments.q_block != 0) {
            factor *= @splat(blockInverse(part, segments, segment, @intCast(r)));
        }
        const to = &scratch.scaled[r][block];
        to.* = epilogue.fma(sum, factor, to.*);
    }
}

/// Activation scale of a segment.
fn blockInverse(part: Part, segments: Segments, segment: u32, row: u32) f32 {
    const scales: [*]const RowScale = @ptrFromInt(part.a.x_scale);
    const per_row = (part.a.k + segments.q_block - 1) / segments.q_block;
    const block = segment * segments.columns / segments.q_block;
    return scales[@as(u64, part.first_row + row) * per_row + block].inverse;
}

fn finish(part: Part, scratch: *Scratch) void {
    const gates: u32 = if (part.a.gate != 0) 2 else 1;
    const scales: [*]const RowScale = @ptrFromInt(part.a.x_scale);
    for (0..part.rows) |r| {
        const row: u32 = @intCast(r);
        const inverse = if (part.a.q_block == 0) scales[part.first_row + row].inverse else 1;
        var block: u32 = 0;
        while (block < part.blocks) : (block += gates) {
            var values: [2]F = undefined;
            for (0..gates) |g| {
                values[g] = scratch.scaled[r][block + g];
                if (part.a.q_block == 0) values[g] *= @splat(inverse);
            }
            part.write(block, row, values);
        }
    }
}
