//! Layout "t5": 1.6 bits a weight, in blocks of 16 rows x 20 columns (64 bytes).
//! Byte r * 4 + j of block (rb, kb) holds the codes t_i of row rb * 16 + r, column kb * 20 + i * 4 + j
//! as t0 + 3 t1 + 9 t2 + 27 t3 + 84 t4. (84, not 81: then the byte's upper six bits alone tell t4.)
//! Blocks of one rb are adjacent. Padding is code 1 (a zero weight).
const dot = @import("dot.zig");

pub const name = "t5";
/// Groups of 4 columns in a block.
pub const planes = 5;
pub const columns = 20;

/// The block that holds the given codes (0..2).
pub fn encode(codes: [planes]dot.Codes) dot.Codes {
    const units = [planes]u8{ 1, 3, 9, 27, 84 };
    var bytes: dot.Codes = @splat(0);
    inline for (units, codes) |unit, code| bytes += code * @as(dot.Codes, @splat(unit));
    return bytes;
}

extern fn @"llvm.x86.avx512.permvar.qi.512"(dot.Codes, dot.Codes) dot.Codes;
extern fn @"llvm.x86.avx512.vpermi2var.qi.512"(dot.Codes, dot.Codes, dot.Codes) dot.Codes;

/// 84 * t4 by the byte's upper six bits.
const top_table: dot.Codes = blk: {
    var table: [64]u8 = undefined;
    for (&table, 0..) |*entry, i| entry.* = if (i < 21) 0 else if (i < 42) 84 else 168;
    break :blk table;
};

/// t0 | t1 << 2 | t2 << 4 | t3 << 6 by the byte less 84 * t4 (0..80).
const rest_table: [2]dot.Codes = blk: {
    @setEvalBranchQuota(10000);
    var table: [128]u8 = @splat(0);
    for (0..81) |n| {
        table[n] = n % 3 | (n / 3 % 3) << 2 | (n / 9 % 3) << 4 | (n / 27) << 6;
    }
    break :blk .{ table[0..64].*, table[64..128].* };
};

const Split = struct { packed4: dot.Codes, top: dot.Codes };

/// Planes 0..3 as t2 packs them, and 84 times plane 4.
inline fn split(bytes: dot.Codes) Split {
    const words: @Vector(32, u16) = @bitCast(bytes);
    // vpermb looks at six bits of each byte only, so bits from the neighbour do no harm.
    const index: dot.Codes = @bitCast(words >> @as(@Vector(32, u4), @splat(2)));
    const top = @"llvm.x86.avx512.permvar.qi.512"(top_table, index);
    const rest = @"llvm.x86.avx512.vpermi2var.qi.512"(rest_table[0], bytes -% top, rest_table[1]);
    return .{ .packed4 = rest, .top = top };
}

/// Codes of the block's five groups of 4 columns.
pub inline fn decode(bytes: dot.Codes) [planes]dot.Codes {
    if (dot.has_byte_permute) {
        const parts = split(bytes);
        const four = parts.packed4;
        return .{
            dot.twoBits(four, 0),
            dot.twoBits(four, 2),
            dot.twoBits(four, 4),
            dot.twoBits(four, 6),
            // 0, 84, 168: bits 6 and 7 are 00, 01, 10.
            dot.twoBits(parts.top, 6),
        };
    }
    var rest = bytes;
    var codes: [planes]dot.Codes = undefined;
    inline for (.{ 84, 27, 9, 3 }, 0..) |unit, i| {
        codes[planes - 1 - i] = digit(&rest, unit);
    }
    codes[0] = rest;
    return codes;
}

/// rest / unit (0..2); rest becomes the remainder.
inline fn digit(rest: *dot.Codes, comptime unit: u8) dot.Codes {
    const one: dot.Codes = @splat(unit);
    const two: dot.Codes = @splat(2 * unit);
    const zeros: dot.Codes = @splat(0);
    const ones: dot.Codes = @splat(1);
    const above_one = @select(u8, rest.* >= one, ones, zeros);
    const above_two = @select(u8, rest.* >= two, ones, zeros);
    const code = above_one + above_two;
    rest.* -%= code *% one;
    return code;
}

/// Codes scaled by 1, 4, 16, 64 and 84, which are cheaper.
pub inline fn decodeScaled(bytes: dot.Codes) [planes]dot.Codes {
    const parts = split(bytes);
    const four = parts.packed4;
    return .{
        four & @as(dot.Codes, @splat(0x03)), four & @as(dot.Codes, @splat(0x0c)),
        four & @as(dot.Codes, @splat(0x30)), four & @as(dot.Codes, @splat(0xc0)),
        parts.top,
    };
}

/// Sums of `decodeScaled` planes, without the scale. Exact: the last is divided by 84 through
/// the inverse of 21 modulo 2^32.
pub inline fn unscale(sums: [planes]dot.Total) dot.Total {
    const inverse21: i32 = 0x3cf3cf3d;
    const last = right(sums[4], 2) *% @as(dot.Total, @splat(inverse21));
    return sums[0] + right(sums[1], 2) + right(sums[2], 4) + right(sums[3], 6) + last;
}

inline fn right(sums: dot.Total, comptime bits: u5) dot.Total {
    return sums >> @as(@Vector(16, u5), @splat(bits));
}

/// Base-3 codes of the block's segments of four columns: planes 0..3, a byte each, and plane 4.
pub inline fn segments(bytes: dot.Codes) struct { fours: dot.Codes, fifth: dot.Total } {
    // Differences below zero wrap to large bytes.
    const one = bytes -% @as(dot.Codes, @splat(84));
    const fours = @min(bytes, @min(one, one -% @as(dot.Codes, @splat(84))));
    // 0, 84, 168: bits 6 and 7 are 00, 01, 10.
    const codes = dot.twoBits(bytes - fours, 6);
    const digits = [4]i8{ 1, 3, 9, 27 };
    return .{ .fours = fours, .fifth = dot.total(dot.step(dot.zero(), codes, dot.load(&digits))) };
}
