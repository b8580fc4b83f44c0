//! Products of a panel of decoded codes with many tokens, in register tiles.
//! A panel is [steps][blocks][64] codes in L1; sums are [tokens][blocks][16] int32.
const cache = @import("../cache.zig");
const dot = @import("dot.zig");

/// Blocks of 16 rows in a panel.
pub const blocks = 4;
/// Steps of 4 columns that a panel holds at most.
pub const max_steps: u32 = if (dot.kind == .vnni) 130 else @min(dot.max_steps, 80);
pub const step_bytes: u32 = blocks * 64;

/// Steps of a panel that fits this core's L1 with its activations.
pub fn fittingSteps() u32 {
    return if (cache.isRoomy()) max_steps else @min(max_steps, 80);
}

pub const bytes = max_steps * step_bytes;

pub const Sums = [blocks]dot.Total;

/// Blocks and tokens of a register tile.
const tile_blocks = switch (dot.kind) {
    .vnni => 4,
    .avx2 => 2,
    .neon, .portable => 1,
};
pub const tile_tokens = switch (dot.kind) {
    .vnni, .neon => 6,
    .avx2 => 2,
    .portable => 1,
};

/// Tokens of the next tile: tiles of equal height rather than a low one at the end.
pub fn tileTokens(left: u32) u32 {
    if (left >= 3 * tile_tokens) return tile_tokens;
    return (left - 1) / ((left - 1) / tile_tokens + 1) + 1;
}

/// sums[t] (+)= codes . x[t] for `rows` tokens, over `steps` steps from the panel's `codes` and from x.
pub fn multiply(
    codes: [*]const u8,
    steps: u32,
    x: [*]const i8,
    stride: u32,
    rows: u32,
    sums: [*]Sums,
    accumulate: bool,
) void {
    var row: u32 = 0;
    while (row < rows) {
        const count = tileTokens(rows - row);
        const from = x + @as(u64, row) * stride;
        inline for (1..tile_tokens + 1) |tokens| {
            if (count == tokens) {
                comptime var b = 0;
                inline while (b < blocks) : (b += tile_blocks) {
                    tile(b, tokens, codes, steps, from, stride, sums + row, accumulate);
                }
            }
        }
        row += count;
    }
}

fn tile(
    comptime first: u32,
    comptime tokens: u32,
    codes: [*]const u8,
    steps: u32,
    x: [*]const i8,
    stride: u32,
    sums: [*]Sums,
    accumulate: bool,
) void {
    var accs: [tokens][tile_blocks]dot.Acc = @splat(@splat(dot.zero()));
    var at: [tokens][*]const i8 = undefined;
    inline for (0..tokens) |t| at[t] = x + t * stride;
    for (0..steps) |s| {
        const base = codes + s * step_bytes + first * 64;
        var w: [tile_blocks]dot.Codes = undefined;
        inline for (0..tile_blocks) |b| w[b] = base[b * 64 ..][0..64].*;
        inline for (0..tokens) |t| {
            const four = dot.load(at[t] + s * 4);
            inline for (0..tile_blocks) |b| accs[t][b] = dot.step(accs[t][b], w[b], four);
        }
    }
    inline for (0..tokens) |t| {
        inline for (0..tile_blocks) |b| {
            const sum = dot.total(accs[t][b]);
            const to = &sums[t][first + b];
            to.* = if (accumulate) to.* + sum else sum;
        }
    }
}
