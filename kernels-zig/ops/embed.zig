//! Token ids to rows of the embedding table, in f32.
const abi = @import("../abi.zig");
const simd = @import("../simd.zig");
const Args = abi.args.Embed;

pub const entries = [_]abi.Entry{
    .{ .op = "embed", .run = run, .units = units, .grain = 1 },
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
    const tokens: [*]const u32 = @ptrFromInt(step.tokens);
    const out: [*]f32 = @ptrFromInt(args.out);
    for (begin..end) |r| {
        const row: [*]const u8 = @ptrFromInt(args.table + args.row_bytes * tokens[r]);
        const target = out + r * args.out_stride;
        switch (@as(abi.EmbedFormat, @enumFromInt(args.format))) {
            .f32 => floats(f32, row, target, args),
            .f16 => floats(f16, row, target, args),
            .bf16 => floats(u16, row, target, args),
            .q8_0 => q8(row, target, args),
            .q6_k => q6(row, target, args),
        }
    }
}

/// u16 stands for bf16.
fn floats(comptime T: type, row: [*]const u8, out: [*]f32, args: *const Args) void {
    const values: [*]align(1) const T = @ptrCast(row);
    for (0..args.columns) |i| {
        const value: f32 = switch (T) {
            u16 => @bitCast(@as(u32, values[i]) << 16),
            else => values[i],
        };
        out[i] = value * args.scale;
    }
}

/// Blocks of 32: f16 scale, 32 i8.
fn q8(row: [*]const u8, out: [*]f32, args: *const Args) void {
    for (0..args.columns) |i| {
        const block = row + i / 32 * 34;
        const q: i8 = @bitCast(block[2 + i % 32]);
        out[i] = simd.halfAt(block) * @as(f32, @floatFromInt(q)) * args.scale;
    }
}

/// Blocks of 256: low nibbles [128], high pairs of bits [64], i8 scales [16], f16 scale. Element
/// 128 h + 32 s + l has its low bits in low[64 h + 32 (s mod 2) + l], shifted by 4 (s div 2), and
/// its high bits in high[32 h + l], shifted by 2 s.
fn q6(row: [*]const u8, out: [*]f32, args: *const Args) void {
    for (0..args.columns) |i| {
        const block = row + i / 256 * 210;
        const e = i % 256;
        const h = e / 128;
        const s = e % 128 / 32;
        const l = e % 32;
        const low = block[64 * h + 32 * (s % 2) + l] >> @intCast(4 * (s / 2)) & 15;
        const high = block[128 + 32 * h + l] >> @intCast(2 * s) & 3;
        const q = @as(i32, low | high << 4) - 32;
        const scale: i8 = @bitCast(block[192 + e / 16]);
        const d = simd.halfAt(block + 208) * @as(f32, @floatFromInt(scale));
        out[i] = d * @as(f32, @floatFromInt(q)) * args.scale;
    }
}
