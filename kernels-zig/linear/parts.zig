//! Cuts products with many rows into units that keep all threads busy to the end.
const std = @import("std");

/// Units of that many for each thread end at about the same time, whatever their number.
const plenty = 4;

/// Into how many parts the blocks of rows of W are cut, so that the units, that times `chunks`, are
/// the same for each thread: the fewest of parts of `least` to `most` blocks, null if there are none.
pub fn count(blocks: u32, least: u32, most: u32, chunks: u32, threads: u32) ?u32 {
    std.debug.assert(threads > 0);
    var found = (blocks - 1) / most + 1;
    while (blocks / found >= least) : (found += 1) {
        const units = found * chunks;
        if (units % threads == 0 or units >= plenty * threads) return found;
    }
    return null;
}

test "the fewest parts that give each thread the same" {
    try std.testing.expectEqual(1, count(160, 40, 216, 2, 2));
    try std.testing.expectEqual(2, count(160, 40, 216, 1, 2));
    try std.testing.expectEqual(4, count(864, 40, 216, 2, 2));
    try std.testing.expectEqual(null, count(160, 40, 216, 1, 7));
    try std.testing.expectEqual(null, count(39, 40, 216, 2, 2));
}
