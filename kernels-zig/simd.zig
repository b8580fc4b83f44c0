//! Vectors of 16 floats, the canonical reduction over them, and conversion from storage types.
const std = @import("std");
const builtin = @import("builtin");
const math = @import("math.zig");

/// Width of the canonical order: element i of a row belongs to lane i mod 16.
pub const lanes = 16;
pub const Lanes = @Vector(lanes, f32);
pub const Ints = @Vector(lanes, i32);
pub const Mask = @Vector(lanes, bool);

const x86 = builtin.cpu.arch == .x86_64;

fn has(comptime feature: std.Target.x86.Feature) bool {
    return x86 and std.Target.x86.featureSetHas(builtin.cpu.features, feature);
}

pub const avx512 = has(.avx512f);
pub const avx2 = has(.avx2);
/// Half-precision conversion in hardware.
const has_half = !x86 or has(.f16c);

pub inline fn splat(value: f32) Lanes {
    return @splat(value);
}

pub const zero: Lanes = @splat(0);

pub inline fn fma(a: Lanes, b: Lanes, c: Lanes) Lanes {
    return math.fma(lanes, a, b, c);
}

/// Sum over the lanes in the canonical tree: +8, +4, +2, +1.
pub inline fn sum(l: Lanes) f32 {
    const a = half(8, l, 0) + half(8, l, 8);
    const b = half(4, a, 0) + half(4, a, 4);
    const c = half(2, b, 0) + half(2, b, 2);
    return c[0] + c[1];
}

/// `n` adjacent lanes of a vector, from `first`.
pub inline fn half(comptime n: usize, v: anytype, comptime first: usize) @Vector(n, f32) {
    const from = comptime blk: {
        var indices: [n]i32 = undefined;
        for (&indices, 0..) |*index, i| index.* = @intCast(first + i);
        break :blk indices;
    };
    return @shuffle(f32, v, undefined, from);
}

/// The larger of each pair; b where a is NaN.
pub inline fn larger(a: Lanes, b: Lanes) Lanes {
    return @select(f32, a > b, a, b);
}

/// The largest lane, of lanes that are no NaN. @reduce(.Max) would be a chain of 16 steps.
pub inline fn largest(l: Lanes) f32 {
    const a = largerOf(8, half(8, l, 0), half(8, l, 8));
    const b = largerOf(4, half(4, a, 0), half(4, a, 4));
    const c = largerOf(2, half(2, b, 0), half(2, b, 2));
    return if (c[0] > c[1]) c[0] else c[1];
}

inline fn largerOf(comptime n: usize, a: @Vector(n, f32), b: @Vector(n, f32)) @Vector(n, f32) {
    return @select(f32, a > b, a, b);
}

pub inline fn abs(l: Lanes) Lanes {
    return @abs(l);
}

pub inline fn load(p: [*]const f32) Lanes {
    return @as(*align(4) const [lanes]f32, @ptrCast(p)).*;
}

pub inline fn store(p: [*]f32, value: Lanes) void {
    @as(*align(4) Lanes, @ptrCast(p)).* = value;
}

/// The first `count` < 16 elements, zero in the lanes after them.
pub inline fn loadTail(p: [*]const f32, count: usize) Lanes {
    var buffer: [lanes]f32 = @splat(0);
    @memcpy(buffer[0..count], p[0..count]);
    return buffer;
}

pub inline fn storeTail(p: [*]f32, value: Lanes, count: usize) void {
    const buffer: [lanes]f32 = value;
    @memcpy(p[0..count], buffer[0..count]);
}

/// `count` <= 16 elements, zero in the lanes after them.
pub inline fn loadSome(p: [*]const f32, count: usize) Lanes {
    return if (count == lanes) load(p) else loadTail(p, count);
}

pub inline fn storeSome(p: [*]f32, value: Lanes, count: usize) void {
    if (count == lanes) store(p, value) else storeTail(p, value, count);
}

/// 16 f16 values (as their bits) to f32.
pub inline fn fromHalf(bits: @Vector(lanes, u16)) Lanes {
    if (has_half) return @floatCast(@as(@Vector(lanes, f16), @bitCast(bits)));
    // Exponent and mantissa moved in place, then scaled from f16's bias to f32's: exact, subnormals
    // too. Infinity and NaN get their exponent back.
    const wide: @Vector(lanes, u32) = bits;
    const U = @Vector(lanes, u32);
    const magnitude = (wide & @as(U, @splat(0x7fff))) << @splat(13);
    const scaled: U = @bitCast(@as(Lanes, @bitCast(magnitude)) * splat(0x1p112));
    const special = magnitude >= @as(U, @splat(0x7c00 << 13));
    const finite = @select(u32, special, magnitude | @as(U, @splat(0x7f800000)), scaled);
    return @bitCast(finite | (wide & @as(U, @splat(0x8000))) << @splat(16));
}

/// 16 f32 values to the nearest f16, ties to even, as bits.
pub inline fn toHalf(values: Lanes) @Vector(lanes, u16) {
    if (has_half) return @bitCast(@as(@Vector(lanes, f16), @floatCast(values)));
    var out: [lanes]u16 = undefined;
    inline for (&out, 0..) |*o, i| o.* = @bitCast(@as(f16, @floatCast(values[i])));
    return out;
}

/// 16 f32 values rounded to what f16 holds, ties to even.
pub inline fn roundHalf(values: Lanes) Lanes {
    return if (has_half) fromHalf(toHalf(values)) else roundHalfInSoftware(values);
}

/// Quiet NaNs stay NaN.
fn roundHalfInSoftware(values: Lanes) Lanes {
    const U = @Vector(lanes, u32);
    const bits: U = @bitCast(values);
    const sign = bits & @as(U, @splat(0x80000000));
    const magnitude = bits ^ sign;
    const odd = magnitude >> @splat(13) & @as(U, @splat(1));
    const rounded = (magnitude +% @as(U, @splat(0xfff)) +% odd) & ~@as(U, @splat(0x1fff));
    // Below 2^-14 the steps are of 2^-24, as those of floats are between 1/2 and 1.
    const small: U = @bitCast((@as(Lanes, @bitCast(magnitude)) + splat(0.5)) - splat(0.5));
    const least: U = @splat(0x38800000);
    const infinite: U = @splat(0x7f800000);
    const finite = @select(u32, magnitude < least, small, rounded);
    const large = @select(u32, magnitude > infinite, magnitude, infinite);
    const over = finite >= @as(U, @splat(0x47800000));
    return @bitCast(@select(u32, over, large, finite) | sign);
}

pub inline fn fromBrain(bits: @Vector(lanes, u16)) Lanes {
    return @bitCast(@as(@Vector(lanes, u32), bits) << @splat(16));
}

pub inline fn fromInts(values: Ints) Lanes {
    return @floatFromInt(values);
}

pub inline fn loadU16(p: [*]const u16) @Vector(lanes, u16) {
    return @as(*align(2) const [lanes]u16, @ptrCast(p)).*;
}

pub inline fn loadI8(p: [*]const i8) Ints {
    return @as(@Vector(lanes, i8), @as(*align(1) const [lanes]i8, @ptrCast(p)).*);
}

/// Half precision in software, for one value stored anywhere.
pub inline fn halfAt(bytes: [*]const u8) f32 {
    return @as(f16, @bitCast(std.mem.readInt(u16, bytes[0..2], .little)));
}

test "half precision in software equals the hardware's, every code" {
    for (0..65536 / lanes) |block| {
        var bits: [lanes]u16 = undefined;
        for (&bits, 0..) |*b, i| b.* = @intCast(block * lanes + i);
        const wide: [lanes]f32 = fromHalf(bits);
        for (wide, bits) |w, b| {
            const exact: f32 = @as(f16, @bitCast(b));
            if (std.math.isNan(exact)) {
                try std.testing.expect(std.math.isNan(w));
            } else try std.testing.expectEqual(@as(u32, @bitCast(exact)), @as(u32, @bitCast(w)));
        }
    }
}

test "rounding to half precision in software equals conversion, around every code" {
    for (0..65536 / lanes) |block| {
        for ([_]i32{ 0, 1, -1, 0xfff, 0x1000, 0x1001, -0x1000 }) |away| {
            var bits: [lanes]u32 = undefined;
            for (&bits, 0..) |*b, i| {
                const code: u16 = @intCast(block * lanes + i);
                const exact: f32 = @as(f16, @bitCast(code));
                b.* = @as(u32, @bitCast(exact)) +% @as(u32, @bitCast(away));
            }
            const values: [lanes]f32 = @as(Lanes, @bitCast(bits));
            const rounded: [lanes]f32 = roundHalfInSoftware(values);
            for (values, rounded) |v, r| {
                const exact: f32 = @as(f16, @floatCast(v));
                if (std.math.isNan(exact)) {
                    try std.testing.expect(std.math.isNan(r));
                    continue;
                }
                try std.testing.expectEqual(@as(u32, @bitCast(exact)), @as(u32, @bitCast(r)));
            }
        }
    }
}
