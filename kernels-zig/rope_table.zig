//! Cosines and sines of rotary embeddings, in double precision and the same on every machine.
const std = @import("std");
const math = @import("math.zig");

/// See abi.Host.rope_table. Frequency i is scale * theta^(-2i/dimensions) / factors[i] radians a
/// position.
pub fn fill(
    out: u64,
    positions: u32,
    dimensions: u32,
    theta: f64,
    scale: f64,
    factors: u64,
    magnitude: f32,
) callconv(.c) void {
    const table: [*]f32 = @ptrFromInt(out);
    const divisors: ?[*]const f32 = if (factors == 0) null else @ptrFromInt(factors);
    const half = dimensions / 2;
    const log_theta = math.log(theta);
    for (0..half) |i| {
        const part = @as(f64, @floatFromInt(2 * i)) / @as(f64, @floatFromInt(dimensions));
        var frequency = exp(-part * log_theta) * scale;
        if (divisors) |d| frequency /= d[i];
        for (0..positions) |p| {
            const angle = frequency * @as(f64, @floatFromInt(p));
            const both = sinCos(angle);
            const at = (p * half + i) * 2;
            table[at] = @floatCast(both.cos * magnitude);
            table[at + 1] = @floatCast(both.sin * magnitude);
        }
    }
}

const ln2_high = math.ln2_high;
const ln2_low = math.ln2_low;

/// e^x for |x| < 700: 2^n times the series of the rest, which is at most ln(2) / 2.
pub fn exp(x: f64) f64 {
    const n = @round(x * 1.4426950408889634);
    const rest = (x - n * ln2_high) - n * ln2_low;
    var sum: f64 = 1;
    comptime var i = 15;
    inline while (i >= 1) : (i -= 1) sum = 1 + sum * rest / @as(f64, i);
    const power: u64 = @intCast(@as(i64, @intFromFloat(n)) + 1023);
    return sum * @as(f64, @bitCast(power << 52));
}

// pi / 2 in three parts of 33 bits and a rest: n * part is exact for n < 2^20.
const half_pi = [3]f64{
    1.57079632673412561417e+00,
    6.07710050630396597660e-11,
    2.02226624879595063154e-21,
};

pub const SinCos = struct { sin: f64, cos: f64 };

/// Sine and cosine for 0 <= x <= 1.6e6.
pub fn sinCos(x: f64) SinCos {
    const n = @round(x * 0.63661977236758134308);
    const r = ((x - n * half_pi[0]) - n * half_pi[1]) - n * half_pi[2];
    const r2 = r * r;
    // Taylor series; |r| <= pi / 4, so what is left out is below 1e-16.
    var s: f64 = 0;
    comptime var i = 8;
    inline while (i >= 1) : (i -= 1) s = (s + 1) * -r2 / @as(f64, (2 * i) * (2 * i + 1));
    const sine = r + r * s;
    var c: f64 = 0;
    comptime var j = 9;
    inline while (j >= 1) : (j -= 1) c = (c + 1) * -r2 / @as(f64, (2 * j) * (2 * j - 1));
    const cosine = 1 + c;
    return switch (@as(u2, @truncate(@as(u64, @intFromFloat(n))))) {
        0 => .{ .sin = sine, .cos = cosine },
        1 => .{ .sin = cosine, .cos = -sine },
        2 => .{ .sin = -sine, .cos = -cosine },
        3 => .{ .sin = -cosine, .cos = sine },
    };
}

test "logarithm, exponential, sine and cosine agree with the standard library" {
    const expect = std.testing.expectApproxEqRel;
    for ([_]f64{ 1, 1.5, 2, 10000, 500000, 1e6, 0.7071, 1e7 }) |x|
        try expect(@log(x), math.log(x), 1e-15);
    for ([_]f64{ 0, -0.1, -1, -5.3, -13.8, 3.3 }) |x| try expect(@exp(x), exp(x), 2e-15);
    var x: f64 = 0;
    while (x < 1.2e6) : (x = x * 1.37 + 0.11) {
        try std.testing.expectApproxEqAbs(@sin(x), sinCos(x).sin, 1e-15);
        try std.testing.expectApproxEqAbs(@cos(x), sinCos(x).cos, 1e-15);
    }
}
