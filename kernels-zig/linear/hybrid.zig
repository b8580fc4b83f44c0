//! Ternary products of many rows of x on VNNI: table look-ups and dot products in one stream.
//! The first rows of W of a unit are looked up (see table.zig), the others multiplied (panel.zig):
//! an addition of an entry is worth 128 products in one slot of a vector port, `vpdpbusd` 64, but
//! additions alone leave half of the slots empty.
const std = @import("std");
const abi = @import("../abi.zig");
const cache = @import("../cache.zig");
const dot = @import("dot.zig");
const parts = @import("parts.zig");
const panel = @import("panel.zig");
const segment = @import("segment.zig");
const turn16 = @import("pack.zig").turn16;
const Part = @import("ternary.zig").Part;

/// Tokens of a table entry.
const tokens = 32;
const tiles = 4;
const max_tokens = tiles * tokens;
/// Rows of x in a unit past its tiles, at most: too few for a tile.
const spare = tokens / 2;
/// Blocks of 16 rows of W that are looked up in a unit at most.
const max_table_blocks = 64;
const max_rows = max_table_blocks * abi.block_rows;
const entries = segment.entries;
/// Segments of 4 columns whose tables are in L1.
const segments = 4;
/// Blocks of the layout whose codes are read together.
const group_blocks = 4;
const max_passes = 5;
/// Rows of W that get a pass's entries beside each step of a register tile.
const step_rows = 2;
/// Tokens of a register tile from which its products hide look-ups.
const least_both = 4;

/// Steps of a panel: less than panel.zig has, as tables share L1.
fn pieceSteps() u32 {
    return if (cache.isRoomy()) 80 else 40;
}

const Tokens = @Vector(tokens, i16);
const Wide = @Vector(tokens, i32);
const entry_bytes = @sizeOf(Tokens);
/// Offsets of a row's table entries.
const Codes = [segments]u16;

const Scratch = extern struct {
    tables: [segments][entries]Tokens align(64),
    panel: [panel.bytes]u8 align(64),
    sums: [max_tokens + spare]panel.Sums align(64),
    codes: [max_passes][max_rows]Codes align(64),
    narrow: [tiles][max_rows]Tokens align(64),
    wide: [tiles][max_rows]Wide align(64),
};

comptime {
    std.debug.assert(@sizeOf(Scratch) <= 1 << 20);
}

/// Blocks of 16 rows of W in a unit: making tables costs as much as about 80 rows.
const max_blocks = 160;
const least_blocks = 64;
/// Rows of x from which look-ups pay.
const least_rows = 64;

/// How rows are cut into units: parts of W and rows of x each.
pub const Pieces = struct { across: u32, chunk: u32 };

/// The largest units that give every thread the same; null where there are none.
pub fn cut(blocks: u32, rows: u32, threads: u32) ?Pieces {
    if (rows < least_rows) return null;
    var most: u32 = max_tokens;
    while (most >= least_rows) : (most /= 2) {
        const chunks = (rows - 1) / (most + spare) + 1;
        const found = parts.count(blocks, least_blocks, max_blocks, chunks, threads);
        if (found) |across| return .{ .across = across, .chunk = (rows - 1) / chunks + 1 };
    }
    return null;
}

/// Blocks of a unit that are looked up, so that whole panels remain.
fn tableBlocks(blocks: u32) u32 {
    const multiplied = (blocks * 60 / 100 + 3) / 4 * 4;
    return @min(blocks -| multiplied, max_table_blocks);
}

test "a unit, however short, has the rows that are looked up" {
    for (1..max_blocks + 1) |i| {
        const blocks: u32 = @intCast(i);
        try std.testing.expect(tableBlocks(blocks) <= blocks);
    }
}

/// Where the look-ups of a part are: group of blocks, pass, tile of tokens, row.
fn Cursor(comptime layout: type) type {
    return struct {
        const Self = @This();
        /// A pass for the first four planes of each block, one for all fifth planes.
        const passes = layout.planes;

        part: Part,
        weights: [*]const u8,
        stride: u64,
        s: *Scratch,
        rows: u32,
        /// Tiles of tokens.
        count: u32,
        /// Blocks of columns.
        depth: u32,
        first: u32 = 0,
        pass: u32 = 0,
        tile: u32 = 0,
        row: u32,
        started: bool = false,
        used: [tiles]Wide = @splat(@splat(0)),

        /// Makes the next tables; false at the end.
        noinline fn next(c: *Self) bool {
            if (c.first >= c.depth) return false;
            if (c.started) c.tile += 1;
            if (c.tile == c.count) {
                c.tile = 0;
                c.pass += 1;
                // Blocks past the end are not there.
                if (c.pass < group_blocks and c.first + c.pass >= c.depth) c.pass = group_blocks;
                if (c.pass >= passes) {
                    c.pass = 0;
                    c.first += group_blocks;
                    if (c.first >= c.depth) return false;
                }
            }
            const s = c.s;
            if (c.tile == 0 and c.pass == 0) {
                const some = @min(group_blocks, c.depth - c.first);
                const from = c.weights + @as(u64, c.first) * 64;
                readCodes(layout, from, c.stride, some, c.rows / 16, s);
            }
            c.started = true;
            c.row = 0;
            var x: [16]Tokens = undefined;
            c.loadTokens(&x);
            var sizes: Wide = @splat(0);
            for (x) |column| sizes += @as(Wide, @abs(column));
            const used = &c.used[c.tile];
            used.* += sizes;
            if (@reduce(.Max, used.*) > std.math.maxInt(i16)) {
                widen(s, c.tile, c.rows);
                used.* = sizes;
            }
            for (0..segments) |j| fill(&s.tables[j], x[4 * j ..][0..4].*);
            return true;
        }

        /// Columns of the pass: out[4 * j + i] is digit i of segment j.
        fn loadTokens(c: *Self, out: *[16]Tokens) void {
            var halves: [2][16]@Vector(16, u8) = undefined;
            const first = c.first * layout.columns;
            for (0..tokens) |t| {
                const row = @min(c.tile * tokens + @as(u32, @intCast(t)), c.part.rows - 1);
                const x = c.part.activations(row);
                const to = &halves[t / 16][t % 16];
                if (c.pass < group_blocks) {
                    to.* = columns(16, x, first + c.pass * layout.columns, c.part.a.x_stride);
                } else {
                    var fours: [4]@Vector(4, u8) = undefined;
                    for (&fours, 0..) |*four, b| {
                        const at = first + @as(u32, @intCast(b)) * layout.columns + 16;
                        four.* = columns(4, x, at, c.part.a.x_stride);
                    }
                    to.* = @bitCast(fours);
                }
            }
            for (&halves) |*half| turn16(u8, half);
            for (0..16) |i| {
                const all: @Vector(32, i8) = @bitCast(std.simd.join(halves[0][i], halves[1][i]));
                // The pass of a block: digit i of segment j is column 4 * i + j.
                const at = if (c.pass < group_blocks) i % 4 * 4 + i / 4 else i;
                out[at] = all;
            }
        }
    };
}

/// Columns of a row of x, zeros past its end.
inline fn columns(comptime n: u32, x: [*]const i8, first: u32, stride: u32) @Vector(n, u8) {
    if (first + n <= stride) return @bitCast(x[first..][0..n].*);
    var tail: [n]u8 = @splat(0);
    for (0..n) |i| if (first + i < stride) {
        tail[i] = @bitCast(x[first + i]);
    };
    return tail;
}

/// Products of all rows of a part; `Self` is the layout's kernel (ternary.zig).
pub fn run(comptime Self: type, comptime layout: type, part: Part, thread: *const abi.Thread) void {
    const s: *Scratch = @ptrFromInt(thread.scratch);
    const looked_up = tableBlocks(part.blocks);
    const rows = looked_up * abi.block_rows;
    const stride = Self.rowBytes(part.a.k);
    // The last tile may be half full: one token stands for the missing ones.
    const count: u32 = @min((part.rows + tokens / 2) / tokens, tiles);
    var block: u32 = 0;
    if (count == 0 or looked_up == 0) {
        while (block < part.blocks) : (block += panel.blocks) {
            Self.many(part.slice(block, 0, part.rows), thread);
        }
        return;
    }
    var cursor: Cursor(layout) = .{
        .part = part,
        .weights = Self.weights(part, 0),
        .stride = stride,
        .s = s,
        .rows = rows,
        .count = count,
        .depth = @intCast(stride / 64),
        .row = rows,
    };
    for (0..count) |t| {
        @memset(s.narrow[t][0..rows], @as(Tokens, @splat(0)));
        @memset(s.wide[t][0..rows], @as(Wide, @splat(0)));
    }
    block = looked_up;
    while (block < part.blocks) : (block += panel.blocks) {
        products(Self, part.slice(block, 0, part.rows), s, &cursor);
    }
    while (cursor.row < rows or cursor.next()) {
        const sums: [*]Tokens = &s.narrow[cursor.tile];
        const codes: [*]const Codes = &s.codes[cursor.pass];
        for (cursor.row..rows) |r| {
            var row: Row = .of(sums, codes, r);
            inline for (0..segments) |j| row.add(s, j);
            sums[r] = row.sum;
        }
        cursor.row = rows;
    }
    for (0..count) |t| widen(s, @intCast(t), rows);
    finish(part, s, looked_up, @min(count * tokens, part.rows));
    const done = count * tokens;
    if (done >= part.rows) return;
    block = 0;
    while (block < looked_up) : (block += panel.blocks) {
        var rest = part.slice(block, done, part.rows - done);
        rest.blocks = @min(rest.blocks, looked_up - block);
        Self.many(rest, thread);
    }
}

/// A panel's products with all tokens, as in ternary.zig's `many`, with look-ups beside them.
fn products(comptime Self: type, part: Part, s: *Scratch, cursor: anytype) void {
    const steps = (part.a.k + 3) / 4;
    // Pieces of equal length rather than a short one at the end.
    const pieces = (steps - 1) / pieceSteps() + 1;
    const most = ((steps - 1) / pieces / Self.planes + 1) * Self.planes;
    var at: u32 = 0;
    while (at < steps) : (at += most) {
        const some = @min(most, steps - at);
        Self.unpack(part, at, some, &s.panel);
        const last = at + some == steps;
        const x = part.activations(0) + at * 4;
        var row: u32 = 0;
        while (row < part.rows) {
            const count = panel.tileTokens(part.rows - row);
            if (last) for (row..row + count) |r| part.prefetch(@intCast(r));
            const from = x + @as(u64, row) * part.a.x_stride;
            tile(count, &s.panel, some, from, part.a.x_stride, s.sums[row..].ptr, at != 0, cursor);
            if (last) for (row..row + count) |r| Self.finishRow(part, @intCast(r), &s.sums[r]);
            row += count;
        }
    }
}

fn tile(
    tokens_of_tile: u32,
    codes: [*]align(64) const u8,
    steps: u32,
    x: [*]const i8,
    stride: u32,
    sums: [*]panel.Sums,
    accumulate: bool,
    cursor: anytype,
) void {
    inline for (least_both..panel.tile_tokens + 1) |n| {
        if (tokens_of_tile == n) {
            return both(n, codes, steps, x, stride, sums[0..n], accumulate, cursor);
        }
    }
    panel.multiply(codes, steps, x, stride, tokens_of_tile, sums, accumulate);
}

/// A register tile of products over `steps`, with look-ups beside its steps.
noinline fn both(
    comptime n: u32,
    codes: [*]align(64) const u8,
    steps: u32,
    x: [*]const i8,
    stride: u32,
    sums: *[n]panel.Sums,
    accumulate: bool,
    cursor: anytype,
) void {
    @setEvalBranchQuota(100_000);
    var accs: [n][4]dot.Acc = undefined;
    inline for (0..n) |t| inline for (0..4) |b| {
        accs[t][b] = if (accumulate) sums[t][b] else @splat(0);
    };
    const s = cursor.s;
    var step: usize = 0;
    while (step < steps) {
        if (cursor.row == cursor.rows and !cursor.next()) break;
        const some = @min(steps - step, (cursor.rows - cursor.row) / step_rows);
        const end = step + some;
        var narrow: [*]Tokens = s.narrow[cursor.tile][cursor.row..].ptr;
        var table_codes: [*]const Codes = s.codes[cursor.pass][cursor.row..].ptr;
        cursor.row += @intCast(some * step_rows);
        const from = x;
        while (step < end) : (step += 1) {
            const w = load(codes, step);
            var row: Row = undefined;
            inline for (0..n) |t| {
                const four = dot.load(from + t * stride + step * 4);
                inline for (0..4) |b| {
                    multiply(&accs[t][b], w[b], four);
                    const adds = step_rows * segments;
                    const i = t * 4 + b;
                    inline for (i * adds / (4 * n)..(i + 1) * adds / (4 * n)) |k| {
                        if (k % segments == 0) row = .of(narrow, table_codes, k / segments);
                        row.add(s, k % segments);
                        if (k % segments == segments - 1) narrow[k / segments] = row.sum;
                    }
                }
            }
            narrow += step_rows;
            table_codes += step_rows;
        }
    }
    while (step < steps) : (step += 1) {
        const w = load(codes, step);
        inline for (0..n) |t| {
            const four = dot.load(x + t * stride + step * 4);
            inline for (0..4) |b| multiply(&accs[t][b], w[b], four);
        }
    }
    sums.* = accs;
}

/// A row of W that gets its entries.
const Row = struct {
    sum: Tokens,
    /// Offsets that are left.
    word: u64,

    /// Volatile: the compiler would load each offset alone, but loads are scarce here.
    inline fn of(sums: [*]const Tokens, codes: [*]const Codes, row: usize) Row {
        const word: *const volatile u64 = @ptrCast(@alignCast(&codes[row]));
        return .{ .sum = sums[row], .word = word.* };
    }

    /// Adds the entry of segment j, in ascending order.
    inline fn add(row: *Row, s: *const Scratch, comptime j: u32) void {
        const offset = row.word & 0xffff;
        row.word >>= 16;
        var sum = row.sum;
        asm volatile (std.fmt.comptimePrint("vpaddw {d}", .{j * entries * entry_bytes}) ++
                "(%[tables], %[offset]), %[sum], %[sum]"
            : [sum] "+v" (sum),
            : [tables] "r" (&s.tables),
              [offset] "r" (offset),
        );
        row.sum = sum;
    }
};

inline fn load(codes: [*]align(64) const u8, s: usize) [4]dot.Codes {
    const from: [*]const [4]dot.Codes = @ptrCast(codes);
    return from[s];
}

/// Volatile: the compiler keeps products and additions in this order.
inline fn multiply(acc: *dot.Acc, w: dot.Codes, x: dot.X) void {
    var sum = acc.*;
    asm volatile ("vpdpbusd %[x], %[w], %[sum]"
        : [sum] "+v" (sum),
        : [w] "v" (@as(@Vector(16, i32), @bitCast(w))),
          [x] "v" (x),
    );
    acc.* = sum;
}

fn finish(part: Part, s: *Scratch, blocks: u32, rows: u32) void {
    const gates: u32 = if (part.a.gate != 0) 2 else 1;
    var row: u32 = 0;
    while (row < rows) : (row += 16) {
        var block: u32 = 0;
        while (block < blocks) : (block += gates) {
            const first = sumsOf(s, row, block);
            const second = if (gates == 2) sumsOf(s, row, block + 1) else first;
            for (first, second, 0..) |one, two, r| {
                const to = row + @as(u32, @intCast(r));
                if (to < rows) part.finishExact(block, to, .{ one, two });
            }
        }
    }
}

fn sumsOf(s: *Scratch, row: u32, block: u32) [16]dot.Total {
    var words: [16]@Vector(16, u32) = undefined;
    for (0..16) |r| {
        const halves: [2]@Vector(16, u32) = @bitCast(s.wide[row / tokens][block * 16 + r]);
        words[r] = halves[row / 16 % 2];
    }
    turn16(u32, &words);
    var sums: [16]dot.Total = undefined;
    for (0..16) |t| sums[t] = @bitCast(words[t]);
    return sums;
}

/// Some blocks of columns of all rows, as offsets into tables.
fn readCodes(
    comptime layout: type,
    weights: [*]const u8,
    stride: u64,
    some: u32,
    blocks: u32,
    s: *Scratch,
) void {
    for (0..blocks) |b| {
        const w = weights + b * stride;
        // Lines of the next group.
        inline for (0..group_blocks) |i| @prefetch(w + (group_blocks + i) * 64, .{ .locality = 2 });
        var fifth: [4]dot.Total = @splat(@splat((entries - 1) / 2));
        for (0..some) |i| {
            const bytes: dot.Codes = w[i * 64 ..][0..64].*;
            const split = layout.segments(bytes);
            const to: *[64]u16 = @ptrCast(s.codes[i][b * 16 ..][0..16]);
            to.* = offsets(split.fours);
            if (layout.planes == 5) fifth[i] = split.fifth;
        }
        if (layout.planes == 5) {
            const shift: @Vector(16, u5) = @splat(16);
            const low = fifth[0] | fifth[1] << shift;
            const high = fifth[2] | fifth[3] << shift;
            const words: [32]i32 = std.simd.interlace(.{ low, high });
            const all: @Vector(64, u16) = @bitCast(words);
            const to: *[64]u16 = @ptrCast(s.codes[group_blocks][b * 16 ..][0..16]);
            to.* = all << @as(@Vector(64, u4), @splat(6));
        }
    }
}

inline fn offsets(codes: dot.Codes) @Vector(64, u16) {
    return @as(@Vector(64, u16), codes) << @as(@Vector(64, u4), @splat(6));
}

noinline fn fill(table: *[entries]Tokens, x: [4]Tokens) void {
    segment.tabulate(Tokens, table, x);
}

fn widen(s: *Scratch, t: u32, rows: u32) void {
    for (s.narrow[t][0..rows], s.wide[t][0..rows]) |*narrow, *wide| {
        wide.* += @as(Wide, narrow.*);
        narrow.* = @splat(0);
    }
}
