//! Writes the keys and values of a step's rows into their sequences' pages.
const std = @import("std");
const abi = @import("../abi.zig");
const kv = @import("../attention/kv.zig");
const math = @import("../math.zig");
const simd = @import("../simd.zig");
const lanes = simd.lanes;
const Args = abi.args.Store;

pub const entries = [_]abi.Entry{
    .{ .op = "store", .run = run, .units = units, .grain = 4 },
};

fn units(_: *const abi.Op, step: *const abi.Step) callconv(.c) u32 {
    return step.rows;
}

fn run(
    op: *const abi.Op,
    step: *const abi.Step,
    _: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const args: *const Args = @ptrCast(&op.args);
    const positions: [*]const u32 = @ptrFromInt(step.positions);
    const row_sequence: [*]const u32 = @ptrFromInt(step.row_sequence);
    const keys = kv.Part.init(args.kv_heads, args.head_dim, args.kv_type_k);
    const values = kv.Part.init(args.kv_heads, args.head_dim, args.kv_type_v);
    for (begin..end) |r| {
        const page = kv.pageOf(step, row_sequence[r], positions[r] / kv.positions);
        const at: Place = .{
            .part = args.kv + page * args.page_bytes + args.layer_offset,
            .slot = positions[r] % kv.positions,
            .kv_heads = args.kv_heads,
            .head_dim = args.head_dim,
        };
        const k = @as([*]const f32, @ptrFromInt(args.k)) + r * args.k_stride;
        const v = @as([*]const f32, @ptrFromInt(args.v)) + r * args.v_stride;
        for (0..args.kv_heads) |h| {
            at.write(keys, h, k + h * args.head_dim, kv.positions, 1);
            const value_place = at.moved(keys.bytes);
            value_place.write(values, h, v + h * args.head_dim, 1, kv.padded(args.head_dim));
        }
    }
}

const Place = struct {
    /// Address of the keys or values of this layer in the page.
    part: usize,
    slot: usize,
    kv_heads: u32,
    head_dim: u32,

    fn moved(place: Place, bytes: usize) Place {
        var other = place;
        other.part += bytes;
        return other;
    }

    /// Element d of a head goes to index d * stride + slot * slot_stride.
    fn write(
        place: Place,
        part: kv.Part,
        head: usize,
        x: [*]const f32,
        stride: usize,
        slot_stride: usize,
    ) void {
        const base = place.part + head * part.head_bytes;
        const first = place.slot * slot_stride;
        if (part.element == 1) {
            const scales: [*]f32 = @ptrFromInt(place.part + part.scalesAt(place.kv_heads, head));
            const out: [*]i8 = @ptrFromInt(base);
            scales[place.slot] = writeInt8(x, place.head_dim, out + first, stride);
            return;
        }
        const out = @as([*]u16, @ptrFromInt(base)) + first;
        const n = place.head_dim;
        var d: usize = 0;
        while (d < n) : (d += lanes) {
            const count = @min(lanes, n - d);
            const source = if (count == lanes) simd.load(x + d) else simd.loadTail(x + d, count);
            const halves: [lanes]u16 = simd.toHalf(source);
            for (0..count) |i| out[(d + i) * stride] = halves[i];
        }
    }
};

/// x ~ q * scale with the largest magnitude at 127. Returns the scale; NaN where an x is NaN.
fn writeInt8(x: [*]const f32, n: usize, out: [*]i8, stride: usize) f32 {
    var most: f32 = 1e-30;
    for (x[0..n]) |value| {
        if (!(@abs(value) <= most)) most = @abs(value);
        if (most != most) break;
    }
    const factor = 127.0 / most;
    var d: usize = 0;
    while (d < n) : (d += lanes) {
        const count = @min(lanes, n - d);
        const source = if (count == lanes) simd.load(x + d) else simd.loadTail(x + d, count);
        const scaled = source * simd.splat(factor);
        const number = @select(f32, scaled == scaled, scaled, simd.zero);
        const rounded = math.roundEven(lanes, number);
        const top = @select(f32, rounded > simd.splat(127), simd.splat(127), rounded);
        const low = simd.splat(-127);
        const whole: simd.Ints = @intFromFloat(@select(f32, top < low, low, top));
        const bytes: [lanes]i8 = @as(@Vector(lanes, i8), @truncate(whole));
        for (0..count) |i| out[(d + i) * stride] = bytes[i];
    }
    return most / 127.0;
}
