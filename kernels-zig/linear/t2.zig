//! Layout "t2": 2 bits a weight, in blocks of 16 rows x 16 columns (64 bytes).
//! Byte r * 4 + j of block (rb, kb) holds the codes of row rb * 16 + r, column kb * 16 + i * 4 + j
//! in bits 2i, i = 0..3. Blocks of one rb are adjacent. Padding is code 1 (a zero weight).
const dot = @import("dot.zig");

pub const name = "t2";
/// Groups of 4 columns in a block.
pub const planes = 4;
pub const columns = 16;

/// The block that holds the given codes (0..2).
pub fn encode(codes: [planes]dot.Codes) dot.Codes {
    return codes[0] | codes[1] << @splat(2) | codes[2] << @splat(4) | codes[3] << @splat(6);
}

/// Codes of the block's four groups of 4 columns.
pub inline fn decode(bytes: dot.Codes) [planes]dot.Codes {
    return .{
        dot.twoBits(bytes, 0),
        dot.twoBits(bytes, 2),
        dot.twoBits(bytes, 4),
        dot.twoBits(bytes, 6),
    };
}

/// Codes times a power of 4, which are cheaper: plane i is scaled by 1 << (2 * i).
pub inline fn decodeScaled(bytes: dot.Codes) [planes]dot.Codes {
    return .{
        bytes & @as(dot.Codes, @splat(0x03)), bytes & @as(dot.Codes, @splat(0x0c)),
        bytes & @as(dot.Codes, @splat(0x30)), bytes & @as(dot.Codes, @splat(0xc0)),
    };
}

/// Sums of `decodeScaled` planes, without the scale. The shifts are exact.
pub inline fn unscale(sums: [planes]dot.Total) dot.Total {
    return sums[0] + right(sums[1], 2) + right(sums[2], 4) + right(sums[3], 6);
}

inline fn right(sums: dot.Total, comptime bits: u5) dot.Total {
    return sums >> @as(@Vector(16, u5), @splat(bits));
}

/// Base-3 codes of the block's segments, four columns a byte.
pub inline fn segments(bytes: dot.Codes) struct { fours: dot.Codes } {
    // Two bits a weight become base 3: pairs of weights in each half of a byte, then both.
    const pairs = bytes - ((bytes >> @splat(2)) & @as(dot.Codes, @splat(0x33)));
    const upper = pairs >> @splat(4);
    return .{ .fours = pairs - (upper << @splat(3)) + upper };
}
