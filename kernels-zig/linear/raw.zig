//! Ternary linear straight from i2_s bytes of a mapped file, for machines that cannot hold a copy.
//! Weights are [n][k], k a multiple of 128: of 128 codes, byte p of 32 holds those of columns p,
//! p + 32, p + 64, p + 96 in bits 7-6, 5-4, 3-2, 1-0. A row is one stream of bytes.
const abi = @import("../abi.zig");
const dot = @import("dot.zig");
const stream = @import("../stream.zig");
const ternary = @import("ternary.zig");

const Linear = abi.args.Linear;
const block_rows = abi.block_rows;
const block_bytes = 32;
const block_columns = 128;
/// Rows of x that are multiplied together.
const tile_rows = 4;
/// Rows of x in a unit.
const chunk = 32;
const unit_bytes = 64 << 10;

const Bytes = @Vector(32, u8);
const Inputs = @Vector(32, i8);

/// Sums of 32 columns' products.
const Acc = switch (dot.kind) {
    .vnni => @Vector(8, i32),
    .avx2 => @Vector(16, i16),
    .neon => [2]@Vector(4, i32),
    .portable => @Vector(32, i16),
};
/// Blocks (4 steps each) that an int16 accumulator holds: 2 * 256 or 256 are added in a step.
const max_blocks: u32 = switch (dot.kind) {
    .vnni, .neon => 1 << 20,
    .avx2 => 16,
    .portable => 32,
};

extern fn @"llvm.x86.avx512.vpdpbusd.256"(
    @Vector(8, i32),
    @Vector(8, i32),
    @Vector(8, i32),
) @Vector(8, i32);
extern fn @"llvm.x86.avx2.pmadd.ub.sw"(Bytes, Inputs) @Vector(16, i16);
extern fn @"llvm.aarch64.neon.sdot.v4i32.v16i8"(
    @Vector(4, i32),
    @Vector(16, i8),
    @Vector(16, i8),
) @Vector(4, i32);

inline fn zero() Acc {
    return if (dot.kind == .neon) .{ @splat(0), @splat(0) } else @splat(0);
}

inline fn step(acc: Acc, codes: Bytes, x: Inputs) Acc {
    switch (dot.kind) {
        .vnni => return @"llvm.x86.avx512.vpdpbusd.256"(acc, @bitCast(codes), @bitCast(x)),
        .avx2 => return acc +% @"llvm.x86.avx2.pmadd.ub.sw"(codes, x),
        .neon => {
            const w: [2]@Vector(16, i8) = @bitCast(codes);
            const v: [2]@Vector(16, i8) = @bitCast(x);
            return .{
                @"llvm.aarch64.neon.sdot.v4i32.v16i8"(acc[0], w[0], v[0]),
                @"llvm.aarch64.neon.sdot.v4i32.v16i8"(acc[1], w[1], v[1]),
            };
        },
        .portable => return acc +% @as(@Vector(32, i16), codes) *% @as(@Vector(32, i16), x),
    }
}

inline fn total(acc: Acc) i32 {
    return switch (dot.kind) {
        .vnni => @reduce(.Add, acc),
        .avx2 => @reduce(.Add, @as(@Vector(16, i32), acc)),
        .neon => @reduce(.Add, acc[0] +% acc[1]),
        .portable => @reduce(.Add, @as(@Vector(32, i32), acc)),
    };
}

fn rowsOf(a: *const Linear, s: *const abi.Step) u32 {
    return if (a.rows == @intFromEnum(abi.Rows.logits)) s.logit_rows else s.rows;
}

/// Blocks of 16 rows of W in a unit.
fn unitBlocks(a: *const Linear) u32 {
    const blocks = (a.n + block_rows - 1) / block_rows;
    const enough = (unit_bytes - 1) / (block_rows * a.k / 4) + 1;
    return @max(1, @min(enough, blocks / 16));
}

fn across(a: *const Linear) u32 {
    const unit = unitBlocks(a) * block_rows;
    return (a.n + unit - 1) / unit;
}

pub fn units(op: *const abi.Op, s: *const abi.Step) callconv(.c) u32 {
    const a: *const Linear = @ptrCast(&op.args);
    return across(a) * ((rowsOf(a, s) + chunk - 1) / chunk);
}

pub fn run(
    op: *const abi.Op,
    s: *const abi.Step,
    _: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const a: *const Linear = @ptrCast(&op.args);
    const blocks = (a.n + block_rows - 1) / block_rows;
    for (begin..end) |u| {
        const unit: u32 = @intCast(u);
        const first = unit % across(a) * unitBlocks(a);
        const row = unit / across(a) * chunk;
        const part: ternary.Part = .{
            .a = a,
            .first_block = first,
            .blocks = @min(unitBlocks(a), blocks - first),
            .first_row = row,
            .rows = @min(chunk, rowsOf(a, s) - row),
        };
        for (0..part.blocks) |b| runBlock(part, @intCast(b));
    }
}

fn runBlock(part: ternary.Part, block: u32) void {
    const a = part.a;
    const first = (part.first_block + block) * block_rows;
    const base: [*]const u8 = @ptrFromInt(a.weight);
    var sums: [chunk][block_rows]i32 = undefined;
    for (0..block_rows) |r| {
        if (first + r >= a.n) {
            for (&sums) |*s| s[r] = 0;
            continue;
        }
        const w = base + (first + r) * (a.k / 4);
        var row: u32 = 0;
        while (row < part.rows) {
            const count = @min(tile_rows, part.rows - row);
            inline for (1..tile_rows + 1) |rows| {
                if (count == rows) {
                    const found = products(rows, w, a.k, part.activations(row), a.x_stride);
                    for (found, 0..) |sum, i| sums[row + i][r] = sum;
                }
            }
            row += count;
        }
    }
    for (0..part.rows) |r| part.finish(block, @intCast(r), .{ sums[r], sums[r] });
}

fn products(
    comptime rows: u32,
    w: [*]const u8,
    k: u32,
    x: [*]const i8,
    stride: u32,
) [rows]i32 {
    // Enough independent sums to hide the latency of the dot product.
    const split = if (rows == 1) 4 else 2;
    var sums: [rows]i32 = @splat(0);
    const blocks = k / block_columns;
    var at: u32 = 0;
    while (at < blocks) {
        const stop = @min(blocks, at + max_blocks);
        var accs: [rows][split]Acc = @splat(@splat(zero()));
        while (at < stop) : (at += 1) {
            const from = w + at * block_bytes;
            stream.ahead(from);
            const bytes: Bytes = from[0..block_bytes].*;
            inline for (.{ 6, 4, 2, 0 }, 0..) |shift, i| {
                const codes = (bytes >> @splat(shift)) & @as(Bytes, @splat(3));
                inline for (0..rows) |r| {
                    const column = r * stride + at * block_columns + i * 32;
                    const acc = &accs[r][i % split];
                    acc.* = step(acc.*, codes, x[column..][0..32].*);
                }
            }
        }
        inline for (0..rows) |r| {
            inline for (0..split) |i| sums[r] += total(accs[r][i]);
        }
    }
    return sums;
}
