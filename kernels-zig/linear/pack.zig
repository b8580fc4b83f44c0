//! Packs 16 rows of trits: columns are turned into steps of 4 for all rows, then encoded by the layout.
const std = @import("std");
const dot = @import("dot.zig");

const block_rows = 16;
/// Columns that are turned at once: 16 words of 4 trits in each of 16 rows.
const turn_columns = 64;
const turn_steps = 16;
const Words = @Vector(16, u32);

/// `rows` (1..16) rows of trits i8 [rows][k] to a block of `layout`; missing rows are zero weights.
pub fn packBlock(comptime layout: type, trits: [*]const i8, rows: u32, k: u32, out: [*]u8) void {
    const planes = layout.planes;
    // Whole turns and whole blocks.
    const chunk = turn_steps * planes / std.math.gcd(turn_steps, planes);
    var steps: [chunk]dot.Codes = undefined;
    const blocks = (k + layout.columns - 1) / layout.columns;
    var kb: u32 = 0;
    while (kb < blocks) : (kb += chunk / planes) {
        const first = kb * layout.columns;
        inline for (0..chunk / turn_steps) |t| {
            const column = first + @as(u32, t) * turn_columns;
            turn(trits, rows, k, column, steps[t * turn_steps ..][0..turn_steps]);
        }
        for (0..@min(chunk / planes, blocks - kb)) |b| {
            const codes = steps[b * planes ..][0..planes].*;
            out[(kb + b) * 64 ..][0..64].* = layout.encode(codes);
        }
    }
}

/// Codes of 64 columns from `column`, as 16 steps.
fn turn(trits: [*]const i8, rows: u32, k: u32, column: u32, out: *[turn_steps]dot.Codes) void {
    var words: [block_rows]Words = @splat(@splat(0));
    if (column < k) {
        const count = @min(turn_columns, k - column);
        for (0..rows) |r| {
            const from = trits + @as(u64, r) * k + column;
            if (count == turn_columns) {
                words[r] = @bitCast(from[0..turn_columns].*);
            } else {
                var tail: [turn_columns]i8 = @splat(0);
                @memcpy(tail[0..count], from[0..count]);
                words[r] = @bitCast(tail);
            }
        }
    }
    turn16(u32, &words);
    for (words, out) |word, *to| {
        const trit: dot.Codes = @bitCast(word);
        to.* = trit +% @as(dot.Codes, @splat(1));
    }
}

/// Transposes 16 x 16 elements: four perfect shuffles of the rows.
pub inline fn turn16(comptime T: type, rows: *[16]@Vector(16, T)) void {
    inline for (0..4) |_| {
        var next: [16]@Vector(16, T) = undefined;
        inline for (0..8) |i| {
            next[2 * i] = merge(T, rows[i], rows[i + 8], 0);
            next[2 * i + 1] = merge(T, rows[i], rows[i + 8], 8);
        }
        rows.* = next;
    }
}

/// a[first], b[first], a[first + 1], b[first + 1], ...
inline fn merge(
    comptime T: type,
    a: @Vector(16, T),
    b: @Vector(16, T),
    comptime first: i32,
) @Vector(16, T) {
    const indices = comptime blk: {
        var list: [16]i32 = undefined;
        for (0..8) |i| {
            list[2 * i] = first + i;
            list[2 * i + 1] = ~(first + @as(i32, i));
        }
        break :blk list;
    };
    return @shuffle(T, a, b, indices);
}
