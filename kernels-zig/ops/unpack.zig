//! Storage formats decoded row by row: ternary ones to trits i8 [rows][k], float ones to f32 [rows][k].
//! The layouts are those of the formats' own programs; `k` and the sizes were checked by the caller.
const std = @import("std");
const abi = @import("../abi.zig");
const simd = @import("../simd.zig");

const lanes = 32;
const Bytes = @Vector(lanes, u8);

fn entry(comptime format: [*:0]const u8, comptime decode: anytype) abi.Entry {
    return .{ .op = "unpack", .format = format, .unpack = &Rows(decode).unpack };
}

pub const entries = [_]abi.Entry{
    .{ .op = "unpack", .format = "hf-packed", .unpack = &huggingFace },
    .{ .op = "unpack", .format = "i2_s", .unpack = &i2s },
    entry("sglang", sglang),
    entry("tq2_0", tq2_0),
    entry("tq1_0", tq1_0),
    entry("iq2_bn", iq2_bn),
    entry("iq1_bn", iq1_bn),
    entry("q2_0", Q2(64).row),
    entry("q2_0_g128", Q2(128).row),
    entry("pq2_0", Q2(128).row),
    .{ .op = "unpack", .format = "f32", .unpack = &Float(.f32).unpack },
    .{ .op = "unpack", .format = "f16", .unpack = &Float(.f16).unpack },
    .{ .op = "unpack", .format = "bf16", .unpack = &Float(.bf16).unpack },
    .{ .op = "unpack", .format = "q8_0", .unpack = &Blocks(32, 34, q8).unpack },
    .{ .op = "unpack", .format = "q6_k", .unpack = &Blocks(256, 210, q6).unpack },
};

/// A format whose rows stand alone: decode(source, row, k, out) returns the OR of (code == 3).
fn Rows(comptime decode: anytype) type {
    return struct {
        fn unpack(bytes: u64, _: u32, k: u32, first: u32, rows: u32, out: u64) callconv(.c) u32 {
            const source: [*]const u8 = @ptrFromInt(bytes);
            const to: [*]i8 = @ptrFromInt(out);
            for (0..rows) |r| {
                if (decode(source, first + r, k, to + r * k)) return 1;
            }
            return 0;
        }
    };
}

/// Writes two-bit codes as trits; true where one is 3.
inline fn put(comptime n: usize, to: [*]i8, codes: @Vector(n, u8)) bool {
    const ones: @Vector(n, i8) = @splat(1);
    to[0..n].* = @as(@Vector(n, i8), @bitCast(codes)) - ones;
    return @reduce(.Max, codes) == 3;
}

/// Bits `shift`, `shift` + 1 of each byte.
inline fn crumbs(comptime n: usize, bytes: @Vector(n, u8), comptime shift: u3) @Vector(n, u8) {
    return (bytes >> @splat(shift)) & @as(@Vector(n, u8), @splat(3));
}

/// 128 codes in 32 bytes, the first 32 in the top bits.
inline fn block128(from: [*]const u8, to: [*]i8) bool {
    const bytes: Bytes = from[0..32].*;
    var bad = false;
    inline for (.{ 6, 4, 2, 0 }, 0..) |shift, i| {
        bad = put(32, to + i * 32, crumbs(32, bytes, shift)) or bad;
    }
    return bad;
}

/// Blocks of 128 run over the flattened tensor: a row may begin inside one where k % 128 != 0.
fn i2s(bytes: u64, _: u32, k: u32, first: u32, rows: u32, out: u64) callconv(.c) u32 {
    const source: [*]const u8 = @ptrFromInt(bytes);
    const to: [*]i8 = @ptrFromInt(out);
    const begin = @as(u64, first) * k;
    const end = begin + @as(u64, rows) * k;
    var bad = false;
    var at = begin;
    while (at < end) {
        const block = at / 128;
        const offset = at % 128;
        const count = @min(128 - offset, end - at);
        if (count == 128) {
            bad = block128(source + block * 32, to + (at - begin)) or bad;
        } else {
            for (0..count) |i| {
                const j = offset + i;
                const code = source[block * 32 + j % 32] >> @intCast(6 - 2 * (j / 32)) & 3;
                bad = bad or code == 3;
                to[at - begin + i] = @as(i8, @intCast(code)) - 1;
            }
        }
        at += count;
    }
    return @intFromBool(bad);
}

/// As i2_s, but each row has blocks of its own.
fn sglang(source: [*]const u8, row: u64, k: u32, to: [*]i8) bool {
    const from = source + row * (k / 4);
    var bad = false;
    for (0..k / 128) |b| bad = block128(from + b * 32, to + b * 128) or bad;
    return bad;
}

/// Row r of the whole is bits 2 * (r / quarter) of byte row r mod quarter.
fn huggingFace(bytes: u64, n: u32, k: u32, first: u32, rows: u32, out: u64) callconv(.c) u32 {
    const source: [*]const u8 = @ptrFromInt(bytes);
    const quarter = n / 4;
    for (0..rows) |r| {
        const row = first + @as(u32, @intCast(r));
        const from = source + @as(u64, row % quarter) * k;
        const to = @as([*]i8, @ptrFromInt(out)) + r * k;
        const shift: u3 = @intCast(row / quarter * 2);
        var bad = false;
        const shifts: @Vector(lanes, u3) = @splat(shift);
        const mask: Bytes = @splat(3);
        const whole = k / lanes * lanes;
        var at: u32 = 0;
        while (at < whole) : (at += lanes) {
            const group: Bytes = from[at..][0..lanes].*;
            bad = put(lanes, to + at, (group >> shifts) & mask) or bad;
        }
        while (at < k) : (at += 1) {
            const code = from[at] >> shift & 3;
            bad = bad or code == 3;
            to[at] = @as(i8, @intCast(code)) - 1;
        }
        if (bad) return 1;
    }
    return 0;
}

/// Blocks of 256 in 66 bytes: two halves of 32 bytes, the first 32 codes in the low bits; f16 scale.
fn tq2_0(source: [*]const u8, row: u64, k: u32, to: [*]i8) bool {
    const from = source + row * (k / 256) * 66;
    var bad = false;
    for (0..k / 256) |b| {
        inline for (0..2) |h| {
            const bytes: Bytes = (from + b * 66 + h * 32)[0..32].*;
            inline for (0..4) |i| {
                const at = to + b * 256 + h * 128 + i * 32;
                bad = put(32, at, crumbs(32, bytes, 2 * i)) or bad;
            }
        }
    }
    return bad;
}

/// Base-3 fraction: the trit at the given place (0 = most significant) of ceil(q * 256 / 243).
inline fn fractionTrit(
    comptime n: usize,
    bytes: @Vector(n, u8),
    comptime place: u8,
) @Vector(n, u8) {
    const power: u8 = .{ 1, 3, 9, 27, 81 }[place];
    const scaled = bytes *% @as(@Vector(n, u8), @splat(power));
    const wide: @Vector(n, u16) = scaled;
    return @truncate((wide * @as(@Vector(n, u16), @splat(3))) >> @splat(8));
}

/// Blocks of 256 in 54 bytes: 32, 16 and 4 bytes of 5, 5 and 4 trits each; f16 scale.
fn tq1_0(source: [*]const u8, row: u64, k: u32, to: [*]i8) bool {
    const from = source + row * (k / 256) * 54;
    for (0..k / 256) |b| {
        const block = from + b * 54;
        const at = to + b * 256;
        inline for (0..5) |i| {
            _ = put(32, at + i * 32, fractionTrit(32, block[0..32].*, i));
            _ = put(16, at + 160 + i * 16, fractionTrit(16, block[32..48].*, i));
        }
        inline for (0..4) |i| _ = put(4, at + 240 + i * 4, fractionTrit(4, block[48..52].*, i));
    }
    return false;
}

/// A f32 scale, then blocks of 64 in 16 bytes: byte j holds codes j, j + 16, j + 32, j + 48.
fn iq2_bn(source: [*]const u8, row: u64, k: u32, to: [*]i8) bool {
    const from = source + row * (4 + k / 4) + 4;
    var bad = false;
    for (0..k / 64) |b| {
        const bytes: @Vector(16, u8) = (from + b * 16)[0..16].*;
        inline for (0..4) |i| {
            bad = put(16, to + b * 64 + i * 16, crumbs(16, bytes, 2 * i)) or bad;
        }
    }
    return bad;
}

/// A f16 scale, then blocks of 64 in 13 bytes: three bytes of 5 trits for each 16, the first trit
/// least significant; the last byte holds the 16th trit of each.
fn iq1_bn(source: [*]const u8, row: u64, k: u32, to: [*]i8) bool {
    const from = source + row * (2 + k / 64 * 13) + 2;
    for (0..k / 64) |b| {
        const block = from + b * 13;
        for (0..4) |run| {
            const at = to + b * 64 + run * 16;
            for (0..3) |i| {
                inline for (0..5) |j| {
                    const byte: @Vector(1, u8) = @splat(block[run * 3 + i]);
                    _ = put(1, at + i * 5 + j, fractionTrit(1, byte, 4 - j));
                }
            }
            const powers = [4]u8{ 81, 27, 9, 3 };
            const last: @Vector(1, u8) = @splat(block[12] *% powers[run]);
            _ = put(1, at + 15, fractionTrit(1, last, 0));
        }
    }
    return false;
}

/// Blocks of `group` after a f16 scale: byte j holds codes 4j..4j+3 from the low bits up.
fn Q2(comptime group: u32) type {
    return struct {
        fn row(source: [*]const u8, index: u64, k: u32, to: [*]i8) bool {
            const bytes = 2 + group / 4;
            const from = source + index * (k / group) * bytes;
            var bad = false;
            for (0..k / group) |b| {
                for (0..group / 16) |i| {
                    const four = (from + b * bytes + 2 + i * 4)[0..4];
                    const word = std.mem.readInt(u32, four, .little);
                    bad = put(16, to + b * group + i * 16, spread(word)) or bad;
                }
            }
            return bad;
        }

        /// 16 codes, in ascending bits.
        inline fn spread(word: u32) @Vector(16, u8) {
            const words: @Vector(16, u32) = @splat(word);
            const shifts = std.simd.iota(u5, 16) * @as(@Vector(16, u5), @splat(2));
            return @truncate((words >> shifts) & @as(@Vector(16, u32), @splat(3)));
        }
    };
}

fn Float(comptime element: enum { f32, f16, bf16 }) type {
    return struct {
        const Stored = if (element == .f32) u32 else u16;

        fn unpack(
            bytes: u64,
            _: u32,
            k: u32,
            first: u32,
            rows: u32,
            out: u64,
        ) callconv(.c) u32 {
            // A file's tensors need not be aligned to their elements.
            const at = bytes + @as(u64, first) * k * @sizeOf(Stored);
            const from: [*]align(1) const Stored = @ptrFromInt(at);
            const to: [*]f32 = @ptrFromInt(out);
            const count = @as(u64, rows) * k;
            const whole = count / simd.lanes * simd.lanes;
            var i: u64 = 0;
            while (i < whole) : (i += simd.lanes) {
                const bits = from[i..][0..simd.lanes].*;
                to[i..][0..simd.lanes].* = switch (element) {
                    .f32 => @bitCast(bits),
                    .f16 => simd.fromHalf(bits),
                    .bf16 => simd.fromBrain(bits),
                };
            }
            while (i < count) : (i += 1) {
                to[i] = switch (element) {
                    .f32 => @bitCast(from[i]),
                    .f16 => @as(f16, @bitCast(from[i])),
                    .bf16 => @bitCast(@as(u32, from[i]) << 16),
                };
            }
            return 0;
        }
    };
}

/// A format of blocks of `columns` values in `size` bytes, decoded to floats one by one.
fn Blocks(comptime columns: u32, comptime size: u32, comptime decode: anytype) type {
    return struct {
        fn unpack(
            bytes: u64,
            _: u32,
            k: u32,
            first: u32,
            rows: u32,
            out: u64,
        ) callconv(.c) u32 {
            const from: [*]const u8 = @ptrFromInt(bytes);
            const to: [*]f32 = @ptrFromInt(out);
            const blocks = k / columns;
            const begin = @as(u64, first) * blocks;
            for (0..@as(u64, rows) * blocks) |b| {
                decode(from + (begin + b) * size, to + b * columns);
            }
            return 0;
        }
    };
}

/// f16 scale, 32 i8.
fn q8(block: [*]const u8, out: [*]f32) void {
    const scale = simd.splat(simd.halfAt(block));
    inline for (0..2) |i| {
        const codes = simd.loadI8(@ptrCast(block + 2 + i * simd.lanes));
        simd.store(out + i * simd.lanes, simd.fromInts(codes) * scale);
    }
}

/// Low nibbles [128], high pairs of bits [64], i8 scales [16], f16 scale; embed.zig says where each is.
fn q6(block: [*]const u8, out: [*]f32) void {
    const whole = simd.halfAt(block + 208);
    const Codes = @Vector(simd.lanes, u8);
    inline for (0..16) |group| {
        const h = group / 8;
        const s = group % 8 / 2;
        const lane = group % 2 * 16;
        const low: Codes = block[64 * h + 32 * (s % 2) + lane ..][0..simd.lanes].*;
        const high: Codes = block[128 + 32 * h + lane ..][0..simd.lanes].*;
        const nibbles = low >> @splat(4 * (s / 2)) & @as(Codes, @splat(15));
        const pairs = high >> @splat(2 * s) & @as(Codes, @splat(3));
        const codes = @as(simd.Ints, nibbles | pairs << @splat(4)) - @as(simd.Ints, @splat(32));
        const factor: i8 = @bitCast(block[192 + group]);
        const scale = simd.splat(whole * @as(f32, @floatFromInt(factor)));
        simd.store(out + group * simd.lanes, simd.fromInts(codes) * scale);
    }
}
