//! Ternary linear whose weight scales (and perhaps activation scales) are one a group of columns.
//! The exact integer sum of each segment is scaled and added in ascending order (see epilogue.zig).
const abi = @import("../abi.zig");
const dot = @import("dot.zig");
const epilogue = @import("epilogue.zig");
const panel = @import("panel.zig");
const Part = @import("ternary.zig").Part;

const F = epilogue.F;
const RowScale = abi.RowScale;

/// Tokens of a unit.
pub const chunk = 64;
/// Segments of a row at most: columns <= 32768 with groups of 32.
const max_segments = 1024;

/// What a unit keeps in the thread's scratch.
const Scratch = extern struct {
    codes: [panel.bytes]u8 align(64),
    sums: [chunk]panel.Sums,
    scaled: [chunk][panel.blocks]F,
    inputs: [max_segments][chunk]i32,
};

/// Bytes of scratch that a thread needs.
pub const scratch_bytes = @sizeOf(Scratch);

const Segments = struct {
    columns: u32,
    group: u32,
    q_block: u32,

    fn of(a: *const abi.args.Linear) Segments {
        const columns = if (a.q_block == 0) a.group else @min(a.group, a.q_block);
        return .{ .columns = columns, .group = a.group, .q_block = a.q_block };
    }
};

pub fn run(comptime Layout: type, part: Part, thread: *const abi.Thread) void {
    const scratch: *Scratch = @ptrFromInt(thread.scratch);
    const a = part.a;
    const segments = Segments.of(a);
    const steps = (a.k + 3) / 4;
    const segment_steps = segments.columns / 4;
    sumInputs(part, segments.columns, &scratch.inputs);
    for (0..part.rows) |r| scratch.scaled[r] = @splat(@splat(0));
    var at: u32 = 0;
    var in_panel: u32 = 0;
    while (at < steps) {
        if (in_panel == 0) {
            Layout.unpack(part, at, @min(Layout.panel_steps, steps - at), &scratch.codes);
        }
        const in_segment = at % segment_steps;
        const to_end = @min(segment_steps - in_segment, steps - at);
        const some = @min(to_end, Layout.panel_steps - in_panel);
        panel.multiply(
            @as([*]const u8, &scratch.codes) + in_panel * panel.step_bytes,
            some,
            part.activations(0) + at * 4,
            a.x_stride,
            part.rows,
            &scratch.sums,
            in_segment != 0,
        );
        if (some == to_end) addSegment(part, segments, at / segment_steps, scratch);
        at += some;
        in_panel = (in_panel + some) % Layout.panel_steps;
    }
    finish(part, scratch);
}

/// Sums of the activations of each segment, which codes = trit + 1 count too much.
fn sumInputs(part: Part, columns: u32, out: *[max_segments][chunk]i32) void {
    for (0..part.rows) |r| {
        const x = part.activations(@intCast(r));
        var at: u32 = 0;
        while (at < part.a.k) : (at += columns) {
            var sum: i32 = 0;
            for (x[at..@min(at + columns, part.a.k)]) |value| sum += value;
            out[at / columns][r] = sum;
        }
    }
}

fn addSegment(part: Part, segments: Segments, segment: u32, scratch: *Scratch) void {
    const a = part.a;
    const group = segment * segments.columns / segments.group;
    for (0..part.blocks) |b| {
        const column = (part.first_block + @as(u32, @intCast(b))) * abi.block_rows;
        const scales = groupScales(a, column, group);
        for (0..part.rows) |r| {
            const input: dot.Total = @splat(scratch.inputs[segment][r]);
            const sum: F = @floatFromInt(scratch.sums[r][b] - input);
            var factor = scales;
            if (segments.q_block != 0) {
                factor *= @splat(blockInverse(part, segments, segment, @intCast(r)));
            }
            const to = &scratch.scaled[r][b];
            to.* = epilogue.fma(sum, factor, to.*);
        }
    }
}

/// scale[column..column+16][group], which lie k/group apart.
fn groupScales(a: *const abi.args.Linear, column: u32, group: u32) F {
    const scales: [*]const f32 = @ptrFromInt(a.scale);
    const groups = (a.k + a.group - 1) / a.group;
    var values: [epilogue.lanes]f32 = @splat(0);
    for (0..@min(epilogue.lanes, a.n - column)) |i| {
        values[i] = scales[(column + i) * groups + group];
    }
    return values;
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
