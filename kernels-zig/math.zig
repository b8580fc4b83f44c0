//! Elementary functions on vectors of f32, the same bits on every machine: no libm, no approximations.
const std = @import("std");
const builtin = @import("builtin");

const has_fma = switch (builtin.cpu.arch) {
    .x86_64 => std.Target.x86.featureSetHas(builtin.cpu.features, .fma),
    else => true,
};

/// a * b + c rounded once.
pub inline fn fma(
    comptime n: usize,
    a: @Vector(n, f32),
    b: @Vector(n, f32),
    c: @Vector(n, f32),
) @Vector(n, f32) {
    return if (has_fma) @mulAdd(@Vector(n, f32), a, b, c) else softFma(n, a, b, c);
}

/// fma by double precision: the product is exact there; the sum is rounded to odd, so that the
/// second rounding, to single precision, sees on which side of a tie the exact sum lies.
pub inline fn softFma(
    comptime n: usize,
    a: @Vector(n, f32),
    b: @Vector(n, f32),
    c: @Vector(n, f32),
) @Vector(n, f32) {
    const D = @Vector(n, f64);
    const U = @Vector(n, u64);
    const product = @as(D, @floatCast(a)) * @as(D, @floatCast(b));
    const addend: D = @floatCast(c);
    const sum = product + addend;
    // The sum's rounding error, exactly (Knuth).
    const back = sum - product;
    const lost = (product - (sum - back)) + (addend - back);
    const zero: D = @splat(0);
    const bits: U = @bitCast(sum);
    const one: U = @splat(1);
    // Toward the exact sum: a step away from zero where error and sum have one sign, else back.
    const away = (lost > zero) == (sum > zero);
    const moved = @select(u64, away, bits +% one, bits -% one);
    const inexact = @select(bool, lost > zero, lost > zero, lost < zero);
    const even = (bits & one) == @as(U, @splat(0));
    const fixed = @select(u64, inexact, @select(u64, even, moved, bits), bits);
    return @floatCast(@as(D, @bitCast(fixed)));
}

/// e^x: 2^n times a polynomial of the rest, within 1 ulp or so. exp(0) = 1 exactly, 0 below
/// -87.33 (no subnormals), infinity above 88.72; NaN stays NaN.
pub inline fn exp(comptime n: usize, x: @Vector(n, f32)) @Vector(n, f32) {
    const F = @Vector(n, f32);
    const high: F = @splat(88.72283);
    const parts = reduced(n, @select(f32, x > high, high, x));
    // 2^n in two halves: n may be 128.
    const first = parts.power >> @splat(1);
    const result = (parts.value * pow2(n, first)) * pow2(n, parts.power -% first);
    const flushed = @select(f32, x < @as(F, @splat(lowest)), @as(F, @splat(0)), result);
    return @select(f32, x > high, @as(F, @splat(std.math.inf(f32))), flushed);
}

/// The same bits as exp, for x <= 0 or NaN.
pub inline fn expDown(comptime n: usize, x: @Vector(n, f32)) @Vector(n, f32) {
    const F = @Vector(n, f32);
    // What comes out below the lowest is thrown away.
    const parts = reducedIn(n, x);
    const result = parts.value * pow2(n, parts.power);
    return @select(f32, x < @as(F, @splat(lowest)), @as(F, @splat(0)), result);
}

const lowest = -87.33654;

fn Reduced(comptime n: usize) type {
    return struct { value: @Vector(n, f32), power: @Vector(n, i32) };
}

/// e^x = value * 2^power, for x up to 89; below the lowest x as for that one.
inline fn reduced(comptime n: usize, x: @Vector(n, f32)) Reduced(n) {
    const low: @Vector(n, f32) = @splat(lowest);
    return reducedIn(n, @select(f32, x < low, low, x));
}

/// e^x = value * 2^power, for x from the lowest to 89; NaN for NaN.
inline fn reducedIn(comptime n: usize, x: @Vector(n, f32)) Reduced(n) {
    const F = @Vector(n, f32);
    const I = @Vector(n, i32);
    // Adding 1.5 * 2^23 rounds to the nearest integer, which is then in the low bits.
    const magic: F = @splat(12582912.0);
    const shifted = fma(n, x, @splat(1.44269504), magic);
    const whole = shifted - magic;
    // ln 2 in two parts; whole * the first one is exact.
    var rest = fma(n, whole, @splat(-0.693145751953125), x);
    rest = fma(n, whole, @splat(-1.42860677e-6), rest);
    // Taylor's coefficients: |rest| <= ln(2) / 2, so the next term is below 2^-27.
    var p: F = @splat(1.0 / 5040.0);
    inline for (.{ 720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0 }) |factorial| {
        p = fma(n, p, rest, @splat(1.0 / @as(comptime_float, factorial)));
    }
    return .{ .value = p, .power = @as(I, @bitCast(shifted)) -% @as(I, @bitCast(magic)) };
}

inline fn pow2(comptime n: usize, e: @Vector(n, i32)) @Vector(n, f32) {
    return @bitCast((e +% @as(@Vector(n, i32), @splat(127))) << @splat(23));
}

/// x / (1 + e^-x)
pub inline fn silu(comptime n: usize, x: @Vector(n, f32)) @Vector(n, f32) {
    const one: @Vector(n, f32) = @splat(1);
    return x / (one + exp(n, -x));
}

/// 1 / (1 + e^-x)
pub inline fn sigmoid(comptime n: usize, x: @Vector(n, f32)) @Vector(n, f32) {
    const one: @Vector(n, f32) = @splat(1);
    return one / (one + exp(n, -x));
}

/// The tanh form of GELU: x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3).
pub inline fn gelu(comptime n: usize, x: @Vector(n, f32)) @Vector(n, f32) {
    const F = @Vector(n, f32);
    const one: F = @splat(1);
    const u = x * fma(n, x * x, @as(F, @splat(0.0356774081)), @as(F, @splat(0.7978845608)));
    return x / (one + exp(n, @as(F, @splat(-2)) * u));
}

/// max(x, 0)^2
pub inline fn relu2(comptime n: usize, x: @Vector(n, f32)) @Vector(n, f32) {
    const zero: @Vector(n, f32) = @splat(0);
    // This way round NaN stays NaN.
    const positive = @select(f32, x <= zero, zero, x);
    return positive * positive;
}

/// cap * tanh(x / cap)
pub inline fn softcap(comptime n: usize, x: @Vector(n, f32), cap: f32) @Vector(n, f32) {
    const F = @Vector(n, f32);
    const one: F = @splat(1);
    const e = exp(n, (x / @as(F, @splat(cap))) * @as(F, @splat(2)));
    // (e - 1) / (e + 1), which is not infinity over infinity this way.
    return @as(F, @splat(cap)) * (one - @as(F, @splat(2)) / (e + one));
}

/// The nearest integer, ties to even, for |x| < 2^22.
pub inline fn roundEven(comptime n: usize, x: @Vector(n, f32)) @Vector(n, f32) {
    const magic: @Vector(n, f32) = @splat(12582912.0);
    return (x + magic) - magic;
}

pub const ln2_high = 6.93147180369123816490e-01;
pub const ln2_low = 1.90821492927058770002e-10;

/// Natural logarithm of a positive normal number: 2 atanh((m - 1) / (m + 1)) for the mantissa m in
/// sqrt(1/2)..sqrt(2), plus the exponent times ln 2.
pub fn log(x: f64) f64 {
    var bits: u64 = @bitCast(x);
    var exponent: i32 = @as(i32, @intCast(bits >> 52 & 0x7ff)) - 1023;
    bits = bits & ((1 << 52) - 1) | @as(u64, 1023) << 52;
    var mantissa: f64 = @bitCast(bits);
    if (mantissa > 1.4142135623730951) {
        mantissa *= 0.5;
        exponent += 1;
    }
    const s = (mantissa - 1) / (mantissa + 1);
    const s2 = s * s;
    // atanh's series: |s| <= 0.1716, so the term after s^25 is below 1e-20.
    var sum: f64 = 0;
    comptime var n = 25;
    inline while (n >= 3) : (n -= 2) sum = (sum + 1.0 / @as(f64, n)) * s2;
    const e: f64 = @floatFromInt(exponent);
    return e * ln2_high + (2 * s + (2 * s * sum + e * ln2_low));
}

test "the software fma equals the exact one, ties and tiny sums included" {
    var random = std.Random.DefaultPrng.init(1);
    const r = random.random();
    for (0..2_000_000) |i| {
        const a: f32 = @bitCast(r.int(u32) & 0xbfffffff);
        var b: f32 = @bitCast(r.int(u32) & 0xbfffffff);
        var c: f32 = @bitCast(r.int(u32) & 0xbfffffff);
        // Sums that nearly cancel, and products halfway between two floats.
        if (i % 3 == 1) c = -a * b;
        if (i % 3 == 2) b = @bitCast(@as(u32, @bitCast(b)) & 0xfffff000);
        if (std.math.isNan(a) or std.math.isNan(b) or std.math.isNan(c)) continue;
        const soft = softFma(1, @splat(a), @splat(b), @splat(c))[0];
        const hard: u32 = @bitCast(@mulAdd(f32, a, b, c));
        try std.testing.expectEqual(hard, @as(u32, @bitCast(soft)));
    }
}

test "exp is accurate to an ulp or so, and exact where it must be" {
    try std.testing.expectEqual(1.0, exp(1, @splat(0.0))[0]);
    try std.testing.expectEqual(0.0, exp(1, @splat(-88.0))[0]);
    try std.testing.expectEqual(0.0, exp(1, @splat(-std.math.inf(f32)))[0]);
    try std.testing.expectEqual(std.math.inf(f32), exp(1, @splat(89.0))[0]);
    try std.testing.expect(std.math.isNan(exp(1, @splat(std.math.nan(f32)))[0]));
    var x: f32 = -87.3;
    while (x < 88.7) : (x += 0.00137) {
        const exact = @exp(@as(f64, x));
        const got: f64 = exp(1, @splat(x))[0];
        if (x <= 0) try std.testing.expectEqual(got, expDown(1, @splat(x))[0]);
        try std.testing.expect(@abs(got - exact) <= exact * 1.2e-7);
    }
}
