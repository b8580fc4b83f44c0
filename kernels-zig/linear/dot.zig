//! The inner step of a ternary product on each ISA: 16 rows x 4 columns of codes times 4 activations.
//! Codes are trit + 1 (0, 1, 2): byte r * 4 + j belongs to row r and column j. All results are exact.
const std = @import("std");
const builtin = @import("builtin");

pub const Codes = @Vector(64, u8);
pub const Total = @Vector(16, i32);

pub const Kind = enum { vnni, avx2, neon, portable };

pub const kind: Kind = switch (builtin.cpu.arch) {
    .x86_64 => if (has86(.avx512vnni) and has86(.avx512bw))
        .vnni
    else if (has86(.avx2)) .avx2 else .portable,
    .aarch64 => if (std.Target.aarch64.featureSetHas(builtin.cpu.features, .dotprod))
        .neon
    else
        .portable,
    else => .portable,
};

fn has86(comptime feature: std.Target.x86.Feature) bool {
    return std.Target.x86.featureSetHas(builtin.cpu.features, feature);
}

/// True where `vpermb` and `vpermi2b` exist.
pub const has_byte_permute = builtin.cpu.arch == .x86_64 and kind == .vnni and has86(.avx512vbmi);

/// True where any eight sums of a byte's bits are one instruction.
const has_affine = has_byte_permute and has86(.gfni);

extern fn @"llvm.x86.vgf2p8affineqb.512"(Codes, Codes, u8) Codes;

/// Bits `first` and first + 1 of every byte.
pub inline fn twoBits(bytes: Codes, comptime first: u3) Codes {
    if (has_affine and first != 0) {
        // Byte 7 - i of the matrix says which bits make bit i of the result.
        const one: u64 = 1;
        const matrix = one << (56 + @as(u6, first)) | one << (48 + @as(u6, first) + 1);
        const all: @Vector(8, u64) = @splat(matrix);
        return @"llvm.x86.vgf2p8affineqb.512"(bytes, @bitCast(all), 0);
    }
    // Words are shifted: bits that cross into a byte are masked away.
    const words: @Vector(16, u32) = @bitCast(bytes);
    const moved: Codes = @bitCast(words >> @as(@Vector(16, u5), @splat(first)));
    return moved & @as(Codes, @splat(3));
}

/// Running sums of 16 rows for one token.
pub const Acc = switch (kind) {
    .vnni => @Vector(16, i32),
    .avx2 => [2]@Vector(16, i16),
    .neon => [4]@Vector(4, i32),
    .portable => @Vector(64, i16),
};

/// Steps that an `Acc` holds without overflow, whatever the activations (-128..127):
/// AVX2 adds two products of at most 256 to an int16 in each step, portable code one.
pub const max_steps: u32 = switch (kind) {
    .vnni, .neon => 1 << 20,
    .avx2 => 64,
    .portable => 128,
};

/// Four activations, as the ISA wants them.
pub const X = switch (kind) {
    .vnni => @Vector(16, i32),
    .avx2 => @Vector(32, i8),
    .neon => @Vector(16, i8),
    .portable => @Vector(64, i16),
};

extern fn @"llvm.x86.avx512.vpdpbusd.512"(
    @Vector(16, i32),
    @Vector(16, i32),
    @Vector(16, i32),
) @Vector(16, i32);
extern fn @"llvm.x86.avx2.pmadd.ub.sw"(@Vector(32, u8), @Vector(32, i8)) @Vector(16, i16);
extern fn @"llvm.x86.avx2.pmadd.wd"(@Vector(16, i16), @Vector(16, i16)) @Vector(8, i32);
extern fn @"llvm.aarch64.neon.sdot.v4i32.v16i8"(
    @Vector(4, i32),
    @Vector(16, i8),
    @Vector(16, i8),
) @Vector(4, i32);

pub inline fn zero() Acc {
    return switch (kind) {
        .vnni => @splat(0),
        .avx2 => .{ @splat(0), @splat(0) },
        .neon => .{ @splat(0), @splat(0), @splat(0), @splat(0) },
        .portable => @splat(0),
    };
}

pub inline fn load(x: [*]const i8) X {
    const word: i32 = @bitCast(x[0..4].*);
    return switch (kind) {
        .vnni => @splat(word),
        .avx2 => @bitCast(@as(@Vector(8, i32), @splat(word))),
        .neon => @bitCast(@as(@Vector(4, i32), @splat(word))),
        .portable => blk: {
            const four: @Vector(4, i16) = @as(@Vector(4, i8), x[0..4].*);
            const quad: u64 = @bitCast(four);
            break :blk @bitCast(@as(@Vector(16, u64), @splat(quad)));
        },
    };
}

/// acc + codes . x
pub inline fn step(acc: Acc, codes: Codes, x: X) Acc {
    switch (kind) {
        .vnni => return @"llvm.x86.avx512.vpdpbusd.512"(acc, @bitCast(codes), x),
        .avx2 => {
            const halves: [2]@Vector(32, u8) = @bitCast(codes);
            return .{
                acc[0] +% @"llvm.x86.avx2.pmadd.ub.sw"(halves[0], x),
                acc[1] +% @"llvm.x86.avx2.pmadd.ub.sw"(halves[1], x),
            };
        },
        .neon => {
            const parts: [4]@Vector(16, i8) = @bitCast(codes);
            var sums = acc;
            inline for (0..4) |i| {
                sums[i] = @"llvm.aarch64.neon.sdot.v4i32.v16i8"(acc[i], parts[i], x);
            }
            return sums;
        },
        .portable => return acc +% @as(@Vector(64, i16), codes) *% x,
    }
}

/// The 16 sums.
pub inline fn total(acc: Acc) Total {
    switch (kind) {
        .vnni => return acc,
        .avx2 => {
            const ones: @Vector(16, i16) = @splat(1);
            const low = @"llvm.x86.avx2.pmadd.wd"(acc[0], ones);
            const high = @"llvm.x86.avx2.pmadd.wd"(acc[1], ones);
            return std.simd.join(low, high);
        },
        .neon => return @bitCast(acc),
        .portable => {
            const wide: [64]i32 = @as(@Vector(64, i32), acc);
            const all: @Vector(64, i32) = wide;
            const first = std.simd.deinterlace(4, all);
            return first[0] + first[1] + first[2] + first[3];
        },
    }
}
