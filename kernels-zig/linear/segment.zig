//! Tables of what a segment of 4 ternary weights can add: the sums of +-x of its 4 columns.

/// Sums of a segment, at its weights' base-3 code t0 + 3 t1 + 9 t2 + 27 t3 (t = weight + 1).
pub const entries = 81;

/// Fills a table for the tokens of a vector; x[i] is the column of digit i.
pub inline fn tabulate(comptime Tokens: type, table: *[entries]Tokens, x: [4]Tokens) void {
    const none: Tokens = @splat(0);
    inline for (signed(Tokens, signed(Tokens, .{none}, x[2]), x[3]), 0..) |high, e| {
        inline for (signed(Tokens, signed(Tokens, .{high}, x[0]), x[1]), 0..) |sum, low| {
            table[9 * e + low] = sum;
        }
    }
}

/// Each sum less x, itself and plus x: a further base-3 digit.
inline fn signed(comptime Tokens: type, sums: anytype, x: Tokens) [3 * sums.len]Tokens {
    var all: [3 * sums.len]Tokens = undefined;
    inline for (0..sums.len) |i| {
        all[i] = sums[i] - x;
        all[sums.len + i] = sums[i];
        all[2 * sums.len + i] = sums[i] + x;
    }
    return all;
}
