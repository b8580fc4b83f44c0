//! Native code of the format "sherry": a linear that runs on its 1.25 bits, and a fast decoder.
//! Built once for each instruction set; `wf` is kernels-zig/sdk.zig of the package wrinklefree.
const std = @import("std");
const wf = @import("wrinklefree");
const abi = wf.abi;
const dot = wf.dot;
const epilogue = wf.epilogue;

const Linear = abi.args.Linear;
const block_rows = abi.block_rows;
/// Columns of a chunk: 32 groups of 4, five bits each, make five 32-bit words a row.
const chunk = 128;
const words = 5;
const groups = chunk / 4;
/// Rows of x that are multiplied together.
const tile = if (dot.kind == .vnni) 8 else 2;

/// One 32-bit word of each of 16 rows.
const Word = @Vector(block_rows, u32);

/// The four codes (trit + 1, a byte each) that five bits stand for.
const table: [32]u32 = blk: {
    var codes: [32]u32 = undefined;
    for (&codes, 0..) |*entry, code| {
        var signs = code & 7;
        var bytes: u32 = 0;
        for (0..4) |i| {
            if (i == code >> 3) {
                bytes |= 1 << 8 * i;
                continue;
            }
            bytes |= (if (signs & 1 == 1) 0 else 2) << 8 * i;
            signs >>= 1;
        }
        entry.* = bytes;
    }
    break :blk codes;
};

extern fn @"llvm.x86.avx512.vpermi2var.d.512"(Word, Word, Word) Word;

/// The codes of 16 rows x 4 columns; only the five low bits of `code` count.
inline fn decode(code: Word) dot.Codes {
    if (dot.kind == .vnni) {
        const low: Word = table[0..16].*;
        const high: Word = table[16..32].*;
        return @bitCast(@"llvm.x86.avx512.vpermi2var.d.512"(low, code, high));
    }
    const index: [block_rows]u32 = code & @as(Word, @splat(31));
    var codes: [block_rows]u32 = undefined;
    for (&codes, index) |*entry, i| entry.* = table[i];
    return @bitCast(codes);
}

/// Group g of a chunk, in the low bits of each row.
inline fn groupOf(chunk_words: [words]Word, comptime g: u32) Word {
    const bit = g * 5;
    const low = chunk_words[bit / 32] >> @as(@Vector(block_rows, u5), @splat(bit % 32));
    if (bit % 32 <= 27) return low;
    const rest = 32 - bit % 32;
    return low | chunk_words[bit / 32 + 1] << @as(@Vector(block_rows, u5), @splat(rest));
}

fn chunksOf(k: u32) u32 {
    return (k + chunk - 1) / chunk;
}

const Packed = [words]Word;

fn packedBytes(n: u32, k: u32) callconv(.c) u64 {
    return @as(u64, (n + block_rows - 1) / block_rows) * chunksOf(k) * @sizeOf(Packed);
}

fn pack(source: *const abi.PackSource, first_row: u32, _: u32, out: u64) callconv(.c) void {
    const trits: [*]const i8 = @ptrFromInt(source.values);
    const k = source.k;
    const all: [*]Packed = @ptrFromInt(out);
    var row: u32 = 0;
    while (row < source.rows) : (row += block_rows) {
        const blocks = all + @as(u64, (first_row + row) / block_rows) * chunksOf(k);
        const rows = @min(block_rows, source.rows - row);
        for (0..chunksOf(k)) |c| {
            var lanes: [words][block_rows]u32 = @splat(@splat(0));
            for (0..rows) |r| {
                const from = trits + @as(u64, row + r) * k;
                const end = @min(groups, (k - c * chunk) / 4);
                for (0..end) |g| {
                    const bit = g * 5;
                    const code: u64 = codeOf((from + c * chunk + g * 4)[0..4].*);
                    const shifted = code << @intCast(bit % 32);
                    lanes[bit / 32][r] |= @truncate(shifted);
                    if (bit / 32 + 1 < words) lanes[bit / 32 + 1][r] |= @truncate(shifted >> 32);
                }
            }
            for (&blocks[c], lanes) |*word, lane| word.* = lane;
        }
    }
}

/// Where a group holds no zero or several, the first of them counts: the file format refuses those.
fn codeOf(trits: [4]i8) u5 {
    var zero: u5 = 0;
    for (0..4) |i| {
        if (trits[i] == 0) {
            zero = @intCast(i);
            break;
        }
    }
    var signs: u5 = 0;
    var place: u3 = 0;
    for (trits, 0..) |trit, i| {
        if (i == zero) continue;
        if (trit < 0) signs |= @as(u5, 1) << place;
        place += 1;
    }
    return zero << 3 | signs;
}

fn rowsOf(a: *const Linear, step: *const abi.Step) u32 {
    return if (a.rows == @intFromEnum(abi.Rows.logits)) step.logit_rows else step.rows;
}

/// A unit is two blocks of 16 rows of W: gate and up stay together.
fn units(op: *const abi.Op, _: *const abi.Step) callconv(.c) u32 {
    const a: *const Linear = @ptrCast(&op.args);
    return (a.n + 2 * block_rows - 1) / (2 * block_rows);
}

fn run(
    op: *const abi.Op,
    step: *const abi.Step,
    _: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const a: *const Linear = @ptrCast(&op.args);
    const blocks = (a.n + block_rows - 1) / block_rows;
    const rows = rowsOf(a, step);
    const gates: u32 = if (a.gate != 0) 2 else 1;
    var row: u32 = 0;
    while (row < rows) : (row += tile) {
        const count = @min(tile, rows - row);
        var block = begin * 2;
        while (block < @min(end * 2, blocks)) : (block += gates) {
            inline for (1..tile + 1) |n| {
                if (n == count) blockTimes(n, a, block, gates, row);
            }
        }
    }
}

/// One block (gate and up: two) times `n` rows of x, to the output.
fn blockTimes(comptime n: u32, a: *const Linear, block: u32, gates: u32, row: u32) void {
    var values: [2][n]epilogue.F = undefined;
    for (0..gates) |g| {
        const own = block + @as(u32, @intCast(g));
        const sums = products(n, a, own, row);
        const column = own * block_rows;
        const scales = epilogue.loadColumns(a.scale, column, a.n);
        for (0..n) |r| {
            const given = scaleOf(a, row + @as(u32, @intCast(r)));
            const exact: epilogue.F = @floatFromInt(sums[r] - @as(dot.Total, @splat(given.sum)));
            const value = exact * (scales * @as(epilogue.F, @splat(given.inverse)));
            values[g][r] = epilogue.adjust(a, value, column);
        }
    }
    for (0..n) |r| {
        const to = row + @as(u32, @intCast(r));
        const column = block * block_rows;
        if (gates == 1) {
            epilogue.store(a, values[0][r], to, column);
        } else {
            epilogue.store(a, epilogue.gated(a, values[0][r], values[1][r]), to, column / 2);
        }
    }
}

fn scaleOf(a: *const Linear, row: u32) abi.RowScale {
    const scales: [*]const abi.RowScale = @ptrFromInt(a.x_scale);
    return scales[row];
}

/// Sums over code * x of 16 rows of W for `n` rows of x.
fn products(comptime n: u32, a: *const Linear, block: u32, row: u32) [n]dot.Total {
    const weights: [*]const Packed = @ptrFromInt(a.weight);
    const own = weights + @as(u64, block) * chunksOf(a.k);
    const x = @as([*]const i8, @ptrFromInt(a.x)) + @as(u64, row) * a.x_stride;
    var totals: [n]dot.Total = @splat(@splat(0));
    for (0..chunksOf(a.k)) |c| {
        const chunk_words = own[c];
        var sums: [n]dot.Acc = @splat(dot.zero());
        // Eight groups are the 32 columns of which every row is a multiple.
        inline for (0..groups / 8) |part| {
            if (c * chunk + part * 32 < a.k) {
                inline for (part * 8..part * 8 + 8) |g| {
                    const codes = decode(groupOf(chunk_words, g));
                    inline for (0..n) |r| {
                        const at = x + r * @as(u64, a.x_stride) + c * chunk + g * 4;
                        sums[r] = dot.step(sums[r], codes, dot.load(at));
                    }
                }
            }
        }
        inline for (0..n) |r| totals[r] += dot.total(sums[r]);
    }
    return totals;
}

/// Trits of rows of the stored tensor: rows are bit streams of k / 4 * 5 bits.
fn unpack(bytes: u64, _: u32, k: u32, first: u32, rows: u32, out: u64) callconv(.c) u32 {
    const row_bytes = @as(u64, k) / 32 * 5;
    const from: [*]const u8 = @ptrFromInt(bytes);
    const to: [*]i8 = @ptrFromInt(out);
    for (0..rows) |r| {
        const row = from + (first + r) * row_bytes;
        for (0..k / 32) |part| {
            // Eight groups are 40 bits.
            const five = (row + part * 5)[0..5];
            const stream = std.mem.readInt(u40, five, .little);
            inline for (0..8) |g| {
                const entry = table[@as(u5, @truncate(stream >> 5 * g))];
                const codes: @Vector(4, i8) = @bitCast(entry);
                to[r * k + part * 32 + g * 4 ..][0..4].* = codes - @as(@Vector(4, i8), @splat(1));
            }
        }
    }
    return 0;
}

const entries = [_]abi.Entry{
    .{
        .op = "linear",
        .format = "sherry",
        .run = &run,
        .units = &units,
        .packed_bytes = &packedBytes,
        .pack = &pack,
        .input = .i8_row,
        .priority = if (dot.kind == .vnni) 20 else 10,
    },
    .{ .op = "unpack", .format = "sherry", .unpack = &unpack },
};

const library: abi.Library = .{
    .abi = abi.version,
    .size = @sizeOf(abi.Library),
    .name = "sherry",
    .isa = if (dot.kind == .vnni) "avx512" else "generic",
    .entries = &entries,
    .entry_count = entries.len,
    .entry_size = @sizeOf(abi.Entry),
    .host = null,
};

export fn wf_library() callconv(.c) *const abi.Library {
    return &library;
}
