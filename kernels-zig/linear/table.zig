//! Ternary products by table look-up, for many rows of x where the multipliers are the bottleneck.
//! A byte of layout t2 is a segment: 4 weights of one row. For 32 tokens at once a segment's 81
//! possible sums are tabled in int16; each row then adds one table entry a segment instead of
//! multiplying. (The "method of the four Russians".) All integer, all exact: of sums that could
//! pass 32767 (by the tokens' sums of |x|) the upper bits are moved to a second int16.
const std = @import("std");
const abi = @import("../abi.zig");
const cache = @import("../cache.zig");
const dot = @import("dot.zig");
const parts = @import("parts.zig");
const segment = @import("segment.zig");
const t2 = @import("t2.zig");
const turn16 = @import("pack.zig").turn16;
const Part = @import("ternary.zig").Part;

/// Tokens of a table entry: a cache line.
pub const tokens = 32;
/// Tokens whose sums are given out together.
pub const group = 16;
/// Tokens from which a group pays.
pub const least_group = 10;
/// Tiles of 32 tokens that use the same codes.
const tiles = 2;
pub const chunk = tiles * tokens;
/// Rows of x from which tables pay.
pub const least_rows = tokens;
/// Blocks of rows of W in a unit: making the tables costs as much as about 80 rows.
pub const least_blocks = 40;
pub const max_blocks = 216;
const max_rows = max_blocks * abi.block_rows;
/// Columns up to which the upper bits of a sum of products with -128 fit their int16.
pub const max_columns = 65_000;
const entries = segment.entries;
/// Segments of a block of t2, and in a pass at most: their tables stay in L1.
const block_segments = 4;
const max_pass = 2;
const segments = max_pass * block_segments;

/// Blocks whose tables fit this core's L1, 21 KB each.
fn passBlocks() u32 {
    return if (cache.isRoomy()) max_pass else 1;
}

/// The size of an entry, as a shift.
const offset_bits = std.math.log2(@sizeOf(Entry));

const Entry = @Vector(tokens, i16);
const Sizes = @Vector(tokens, u16);

const Scratch = extern struct {
    tables: [segments][entries]Entry align(64),
    /// Offsets of table entries in bytes, of two segments of a block together.
    codes: [segments / 2][max_rows][2]u16 align(64),
    /// A sum is low + 256 high.
    low: [tiles][max_rows]Entry align(64),
    high: [tiles][max_rows]Entry align(64),
    /// Whether `high` is in use.
    split: [tiles]bool,
};

comptime {
    std.debug.assert(@sizeOf(Scratch) <= 1 << 20);
    std.debug.assert(entries * @sizeOf(Entry) <= 1 << 16);
}

/// Parts that blocks of rows of W are cut into: tall ones, but enough for the threads.
pub fn across(blocks: u32, rows: u32, threads: u32) u32 {
    const chunks = (rows - 1) / chunk + 1;
    return parts.count(blocks, least_blocks, max_blocks, chunks, threads) orelse
        @max(blocks / least_blocks, (blocks - 1) / max_blocks + 1);
}

/// Sums over trits (not codes) for all tokens of the part; `sumsOf` gives them out.
/// `weights` are the part's first block, blocks of 16 rows `stride` bytes apart.
pub fn run(part: Part, weights: [*]const u8, stride: u64, thread: *const abi.Thread) void {
    const scratch: *Scratch = @ptrFromInt(thread.scratch);
    const count = (part.rows + tokens - 1) / tokens;
    const rows = part.blocks * abi.block_rows;
    const depth: u32 = @intCast(stride / 64);
    const pass = passBlocks();
    var used: [tiles]Sizes = @splat(@splat(0));
    for (0..count) |t| {
        scratch.split[t] = false;
        @memset(scratch.low[t][0..rows], @as(Entry, @splat(0)));
    }
    var kb: u32 = 0;
    while (kb < depth) : (kb += pass) {
        const some = @min(pass, depth - kb);
        for (0..some) |c| {
            readCodes(weights + (kb + c) * 64, stride, part.blocks, scratch.codes[2 * c ..][0..2]);
        }
        for (0..count) |t| {
            var sizes: Sizes = @splat(0);
            for (0..some) |c| {
                var x: [16]Entry = undefined;
                loadTokens(part, @intCast(t * tokens), @intCast((kb + c) * 16), &x);
                for (x) |column| sizes += @abs(column);
                const tables = scratch.tables[c * block_segments ..][0..block_segments];
                for (tables, 0..) |*table, j| fill(table, x, j);
            }
            used[t] += sizes;
            if (@reduce(.Max, used[t]) > std.math.maxInt(i16)) {
                // Signs cancel: sums are mostly far from their bound.
                used[t] = sizes + largest(scratch.low[t][0..rows]);
                if (@reduce(.Max, used[t]) > std.math.maxInt(i16)) {
                    carry(scratch, t, rows);
                    used[t] = sizes + @as(Sizes, @splat(255));
                }
            }
            const sums = scratch.low[t][0..rows];
            const next = weights + (kb + pass + t % pass) * 64;
            // The second half of the last tile may have no tokens.
            if (part.rows - t * tokens > group) {
                addAll(tokens, some, scratch, sums, next, stride);
            } else addAll(group, some, scratch, sums, next, stride);
        }
    }
}

/// Sums of a block of 16 rows for the tokens of a group.
pub fn sumsOf(thread: *const abi.Thread, index: u32, block: u32) [group]dot.Total {
    const scratch: *const Scratch = @ptrFromInt(thread.scratch);
    const tile = index * group / tokens;
    const low = turned(&scratch.low[tile], index, block);
    var sums: [group]dot.Total = undefined;
    for (low, &sums) |from, *to| to.* = from;
    if (scratch.split[tile]) {
        const high = turned(&scratch.high[tile], index, block);
        for (high, &sums) |from, *to| to.* += @as(dot.Total, from) << @splat(8);
    }
    return sums;
}

/// [token][row] of a group's tokens and a block's rows.
fn turned(sums: *const [max_rows]Entry, index: u32, block: u32) [group]@Vector(16, i16) {
    var rows: [16]@Vector(16, i16) = undefined;
    for (0..16) |r| {
        const halves: *const [tokens / group]@Vector(group, i16) = @ptrCast(&sums[block * 16 + r]);
        rows[r] = halves[index % (tokens / group)];
    }
    turn16(i16, &rows);
    return rows;
}

/// A block of columns of all rows, as offsets into tables: of segments 0 and 2, and of 1 and 3.
fn readCodes(weights: [*]const u8, stride: u64, blocks: u32, out: *[2][max_rows][2]u16) void {
    for (0..blocks) |b| {
        const bytes: dot.Codes = weights[b * stride ..][0..64].*;
        const codes: @Vector(32, u16) = @bitCast(t2.segments(bytes).fours);
        const even = (codes & @as(@Vector(32, u16), @splat(0xff))) << @splat(offset_bits);
        const odd = (codes & @as(@Vector(32, u16), @splat(0xff00))) >> @splat(8 - offset_bits);
        for ([2]@Vector(32, u16){ even, odd }, out) |offsets, *rows| {
            const to: *align(64) [32]u16 = @ptrCast(@alignCast(rows[b * abi.block_rows ..]));
            to.* = offsets;
        }
    }
}

/// 16 columns of 32 tokens: out[column][token]. Tokens past the part's are like its last.
fn loadTokens(part: Part, first: u32, column: u32, out: *[16]Entry) void {
    var halves: [2][16]@Vector(16, u8) = undefined;
    for (&halves, 0..) |*half, h| {
        for (half, 0..) |*row, t| {
            const token = first + @as(u32, @intCast(h * 16 + t));
            const x = part.activations(@min(token, part.rows - 1)) + column;
            row.* = @bitCast(x[0..16].*);
        }
        turn16(u8, half);
    }
    for (halves[0], halves[1], out) |one, two, *to| {
        to.* = @as(@Vector(tokens, i8), @bitCast(std.simd.join(one, two)));
    }
}

/// The table of the columns j, 4 + j, 8 + j, 12 + j.
fn fill(table: *[entries]Entry, x: [16]Entry, j: usize) void {
    segment.tabulate(Entry, table, .{ x[j], x[4 + j], x[8 + j], x[12 + j] });
}

inline fn addAll(
    comptime width: u32,
    blocks: u32,
    scratch: *const Scratch,
    sums: []Entry,
    next: [*]const u8,
    stride: u64,
) void {
    if (blocks == max_pass) {
        add(width, segments, scratch, sums, next, stride);
    } else add(width, block_segments, scratch, sums, next, stride);
}

/// Adds `count` tables' entries, of their first `width` tokens, to every row, and asks for the
/// weights of the next pass meanwhile: a line of each block, `stride` bytes apart.
fn add(
    comptime width: u32,
    comptime count: u32,
    scratch: *const Scratch,
    sums: []Entry,
    next: [*]const u8,
    stride: u64,
) void {
    const Sum = @Vector(width, i16);
    const tables: [*]const u8 = @ptrCast(&scratch.tables);
    for (0..sums.len / abi.block_rows) |b| {
        @prefetch(next + b * stride, .{ .locality = 2 });
        const first = b * abi.block_rows;
        for (sums[first..][0..abi.block_rows], first..) |*to, r| {
            const low: *Sum = @ptrCast(to);
            @prefetch(@as([*]const Entry, @ptrCast(to)) + 8, .{});
            var sum = low.*;
            inline for (0..count / 2) |pair| {
                // Both offsets in one load, kept so by `volatile`: loads are what bounds this loop.
                const word: *const volatile u32 = @ptrCast(&scratch.codes[pair][r]);
                const offsets = word.*;
                inline for (.{ offsets & 0xffff, offsets >> 16 }, 0..) |offset, i| {
                    const index = pair / 2 * 4 + i * 2 + pair % 2;
                    const base = index * entries * @sizeOf(Entry);
                    const entry: *const Sum = @ptrCast(@alignCast(tables + base + offset));
                    sum +%= entry.*;
                }
            }
            low.* = sum;
        }
    }
}

/// The largest size of a token's sums.
fn largest(sums: []const Entry) Sizes {
    var most: Sizes = @splat(0);
    for (sums) |sum| most = @max(most, @abs(sum));
    return most;
}

/// Moves all but 8 bits of a tile's sums to their upper parts.
fn carry(scratch: *Scratch, tile: usize, rows: u32) void {
    const lows = scratch.low[tile][0..rows];
    const highs = scratch.high[tile][0..rows];
    for (lows, highs) |*low, *high| {
        const upper = low.* >> @splat(8);
        high.* = if (scratch.split[tile]) high.* + upper else upper;
        low.* &= @splat(255);
    }
    scratch.split[tile] = true;
}
