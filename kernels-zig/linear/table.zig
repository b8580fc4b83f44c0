//! Ternary products by table look-up, for many rows of x where the multipliers are the bottleneck.
//! A byte of layout t2 is a segment: 4 weights of one row. For 16 tokens at once a segment's 81
//! possible sums are tabled in int16; each row then adds one table entry a segment instead of
//! multiplying. (The "method of the four Russians".) All integer, all exact: int16 sums are widened
//! before the sum of a token's |x| in them could pass 32767.
const std = @import("std");
const abi = @import("../abi.zig");
const dot = @import("dot.zig");
const turn16 = @import("pack.zig").turn16;
const Part = @import("ternary.zig").Part;

/// Tokens of a table entry.
pub const tokens = 16;
/// Tiles of 16 tokens that use the same codes.
const tiles = 4;
pub const chunk = tiles * tokens;
/// Rows of x from which tables pay.
pub const least_rows = 2 * tokens;
/// Rows of W in a unit at most: making the tables costs as much as about 81 of them.
pub const max_blocks = 128;
const max_rows = max_blocks * abi.block_rows;
const entries = 81;
/// Blocks of t2 (16 columns, 4 segments each) in a pass: their tables stay in L1.
const pass_blocks = 2;
const segments = 4;

const Tokens = @Vector(tokens, i16);
const Wide = @Vector(tokens, i32);
const Tables = [pass_blocks * segments][entries]Tokens;

const Scratch = extern struct {
    tables: Tables align(64),
    /// Offsets of table entries: bytes, below 81 * 32.
    codes: [pass_blocks][max_rows][segments]u16 align(64),
    narrow: [tiles][max_rows]Tokens align(64),
    wide: [tiles][max_rows]Wide align(64),
};

comptime {
    std.debug.assert(@sizeOf(Scratch) <= 1 << 20);
}

/// Units along n: enough for several threads, but tall.
pub fn across(blocks: u32, rows: u32) u32 {
    const least = (blocks + max_blocks - 1) / max_blocks;
    const chunks = (rows + chunk - 1) / chunk;
    const wanted = (8 + chunks - 1) / chunks;
    return @max(least, @min(wanted, blocks / 40));
}

/// Sums over trits (not codes) for all whole tiles of 16 tokens; `sumsOf` gives them out.
/// `weights` are the part's first block, blocks of 16 rows `stride` bytes apart.
pub fn run(part: Part, weights: [*]const u8, stride: u64, thread: *const abi.Thread) void {
    const scratch: *Scratch = @ptrFromInt(thread.scratch);
    const count = part.rows / tokens;
    const rows = part.blocks * abi.block_rows;
    const depth: u32 = @intCast(stride / 64);
    var used: [tiles]Wide = @splat(@splat(0));
    for (0..count) |t| {
        @memset(scratch.narrow[t][0..rows], @as(Tokens, @splat(0)));
        @memset(scratch.wide[t][0..rows], @as(Wide, @splat(0)));
    }
    var kb: u32 = 0;
    while (kb < depth) : (kb += pass_blocks) {
        const some = @min(pass_blocks, depth - kb);
        for (0..some) |c| {
            readCodes(weights + (kb + c) * 64, stride, part.blocks, &scratch.codes[c]);
        }
        for (0..count) |t| {
            var x: [pass_blocks][16]Tokens = undefined;
            var sizes: Wide = @splat(0);
            for (0..some) |c| {
                loadTokens(part, @intCast(t * tokens), @intCast((kb + c) * 16), &x[c]);
                for (x[c]) |column| sizes += @as(Wide, @abs(column));
            }
            used[t] += sizes;
            if (@reduce(.Max, used[t]) > std.math.maxInt(i16)) {
                widen(scratch, t, rows);
                used[t] = sizes;
            }
            for (0..some) |c| {
                for (0..segments) |j| tabulate(&scratch.tables[c * segments + j], x[c], j);
            }
            if (some == pass_blocks) {
                add(pass_blocks, scratch, t, rows);
            } else add(1, scratch, t, rows);
        }
    }
    for (0..count) |t| widen(scratch, t, rows);
}

/// Sums of a block of 16 rows for a tile's tokens.
pub fn sumsOf(thread: *const abi.Thread, tile: u32, block: u32) [tokens]dot.Total {
    const scratch: *Scratch = @ptrFromInt(thread.scratch);
    var words: [16]@Vector(16, u32) = undefined;
    for (0..16) |r| words[r] = @bitCast(scratch.wide[tile][block * 16 + r]);
    turn16(u32, &words);
    var sums: [tokens]dot.Total = undefined;
    for (0..tokens) |t| sums[t] = @bitCast(words[t]);
    return sums;
}

/// One block of columns of all rows, as offsets into a table.
fn readCodes(weights: [*]const u8, stride: u64, blocks: u32, out: *[max_rows][segments]u16) void {
    for (0..blocks) |b| {
        const w = weights + b * stride;
        @prefetch(w + pass_blocks * 64, .{});
        const bytes: dot.Codes = w[0..64].*;
        // Two bits a weight to base 3: c0 + 3 c1 in the low half of a byte, 9 times that in the high.
        const low = pairs(bytes & @as(dot.Codes, @splat(0x0f)));
        const high = pairs((bytes >> @splat(4)) & @as(dot.Codes, @splat(0x0f)));
        const codes = low + (high << @splat(3)) + high;
        const offsets = @as(@Vector(64, u16), codes) * @as(@Vector(64, u16), @splat(2 * tokens));
        const to: *[64]u16 = @ptrCast(out[b * 16 ..][0..16]);
        to.* = offsets;
    }
}

/// c0 + 4 c1 to c0 + 3 c1.
inline fn pairs(nibbles: dot.Codes) dot.Codes {
    return nibbles - ((nibbles >> @splat(2)) & @as(dot.Codes, @splat(3)));
}

/// 16 columns of 16 tokens: out[column][token].
fn loadTokens(part: Part, first: u32, column: u32, out: *[16]Tokens) void {
    var rows: [16]@Vector(16, u8) = undefined;
    for (0..tokens) |t| {
        const x = part.activations(first + @as(u32, @intCast(t))) + column;
        rows[t] = @bitCast(x[0..16].*);
    }
    turn16(u8, &rows);
    for (rows, out) |row, *to| to.* = @as(@Vector(16, i8), @bitCast(row));
}

/// All sums of +-x of the segment's columns j, 4 + j, 8 + j, 12 + j, by their base-3 code.
fn tabulate(table: *[entries]Tokens, x: [16]Tokens, j: usize) void {
    const none: Tokens = @splat(0);
    inline for (signed(signed(.{none}, x[j]), x[4 + j]), 0..) |low, e| {
        inline for (signed(signed(.{low}, x[8 + j]), x[12 + j]), 0..) |sum, high| {
            table[9 * high + e] = sum;
        }
    }
}

/// Each sum less x, itself and plus x: a further base-3 digit.
inline fn signed(sums: anytype, x: Tokens) [3 * sums.len]Tokens {
    var all: [3 * sums.len]Tokens = undefined;
    inline for (0..sums.len) |i| {
        all[i] = sums[i] - x;
        all[sums.len + i] = sums[i];
        all[2 * sums.len + i] = sums[i] + x;
    }
    return all;
}

/// Adds the tables' entries to every row.
fn add(comptime blocks: u32, scratch: *Scratch, tile: usize, rows: u32) void {
    const tables: [*]const u8 = @ptrCast(&scratch.tables);
    const sums = &scratch.narrow[tile];
    for (0..rows) |r| {
        var sum = sums[r];
        inline for (0..blocks) |c| {
            inline for (0..segments) |j| {
                // A load each: less work than taking a word of four apart.
                const offset: u64 = scratch.codes[c][r][j];
                const base = (c * segments + j) * entries * @sizeOf(Tokens);
                const entry: *const Tokens = @ptrCast(@alignCast(tables + base + offset));
                sum +%= entry.*;
            }
        }
        sums[r] = sum;
    }
}

fn widen(scratch: *Scratch, tile: usize, rows: u32) void {
    for (scratch.narrow[tile][0..rows], scratch.wide[tile][0..rows]) |*narrow, *wide| {
        wide.* += @as(Wide, narrow.*);
        narrow.* = @splat(0);
    }
}
