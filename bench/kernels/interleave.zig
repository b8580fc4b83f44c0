//! Times additions of table entries, dot products, and both in one stream of instructions, in L1.
//! `zig build interleave`, then zig-out/bin/interleave-avx512: thread time, best of the rounds.
const std = @import("std");
const dot = @import("dot");

const rounds = 15;
/// Steps of a round.
const round_steps = 25600;
/// Sums of four weights of -1, 0 and 1: a table.
const entries = 81;
/// The register tile of dot products: blocks of 16 rows, and tokens.
const tile_blocks = if (dot.kind == .vnni) 4 else 2;
const tile_tokens = if (dot.kind == .vnni) 6 else 2;
const Tile = [tile_tokens][tile_blocks]dot.Acc;

/// How a row's offsets are read: four in a word that is taken apart, or a load for each.
const Mode = enum { shifts, loads };

const Shape = struct {
    /// Tokens of a table entry: 16 (ymm) or 32 (zmm).
    tokens: usize,
    /// Additions to a row in turn.
    segments: usize,
    mode: Mode = .loads,
    /// Rows that get additions beside each step of the register tile, or alone.
    table_rows: usize,
    dots: bool = false,
    /// Rows of sums: 128 of 32 tokens are 8 KB; 2048 come from the second-level cache.
    rows: usize = 128,
    /// Steps of 4 columns in the panel, 256 bytes each.
    panel_steps: usize = 16,
};

fn Stream(comptime shape: Shape) type {
    return struct {
        const Row = @Vector(shape.tokens, i16);
        const Memory = struct {
            tables: [shape.segments][entries]Row align(4096),
            sums: [shape.rows]Row align(4096),
            codes: [shape.rows][shape.segments]u16 align(64),
            panel: [shape.panel_steps][tile_blocks]dot.Codes align(64),
            x: [tile_tokens][4 * shape.panel_steps]i8 align(64),
            tile: Tile align(64),
        };
        const additions = shape.table_rows * shape.segments * shape.rows;
        const dot_macs = shape.rows * 64 * tile_blocks * tile_tokens;
        const macs = additions * shape.tokens * 4 + if (shape.dots) dot_macs else 0;
        var memory: Memory = undefined;

        fn prepare(random: std.Random) void {
            @memset(std.mem.asBytes(&memory), 1);
            for (&memory.codes) |*row| for (row) |*code| {
                code.* = random.uintLessThan(u16, entries) * @sizeOf(Row);
            };
        }

        noinline fn run() void {
            @setEvalBranchQuota(1_000_000);
            const m = &memory;
            var tile: Tile = @splat(@splat(dot.zero()));
            var row: usize = 0;
            for (0..shape.rows) |i| {
                const at = i % shape.panel_steps;
                var w: [tile_blocks]dot.Codes = undefined;
                if (shape.dots) inline for (0..tile_blocks) |b| {
                    w[b] = m.panel[at][b];
                };
                inline for (0..tile_tokens) |t| {
                    if (shape.dots) {
                        const four = dot.load(@as([*]const i8, &m.x[t]) + at * 4);
                        inline for (0..tile_blocks) |b| multiply(&tile[t][b], w[b], four);
                    }
                    const first = shape.table_rows * t / tile_tokens;
                    const end = shape.table_rows * (t + 1) / tile_tokens;
                    inline for (first..end) |j| lookUp((row + j) % shape.rows);
                }
                row += shape.table_rows;
            }
            if (shape.dots) m.tile = tile;
        }

        inline fn lookUp(row: usize) void {
            var sum = memory.sums[row];
            inline for (0..shape.segments / 4) |q| {
                var word: u64 = @bitCast(memory.codes[row][q * 4 ..][0..4].*);
                inline for (0..4) |j| {
                    const code: *const volatile u16 = &memory.codes[row][q * 4 + j];
                    const offset: u64 = if (shape.mode == .loads) code.* else word & 0xffff;
                    word >>= 16;
                    const base = (q * 4 + j) * entries * @sizeOf(Row);
                    asm volatile (std.fmt.comptimePrint("vpaddw {d}", .{base}) ++
                            "(%[tables], %[offset]), %[sum], %[sum]"
                        : [sum] "+v" (sum),
                        : [tables] "r" (&memory.tables),
                          [offset] "r" (offset),
                    );
                }
            }
            memory.sums[row] = sum;
        }
    };
}

/// A product at this place of the stream: the compiler moves no volatile assembly.
inline fn multiply(acc: *dot.Acc, w: dot.Codes, x: dot.X) void {
    if (dot.kind == .vnni) {
        var sum = acc.*;
        asm volatile ("vpdpbusd %[x], %[w], %[sum]"
            : [sum] "+v" (sum),
            : [w] "v" (@as(@Vector(16, i32), @bitCast(w))),
              [x] "v" (x),
        );
        acc.* = sum;
    } else {
        const halves: [2]@Vector(32, u8) = @bitCast(w);
        inline for (0..2) |h| {
            var product: @Vector(16, i16) = undefined;
            asm volatile ("vpmaddubsw %[x], %[w], %[product]"
                : [product] "=x" (product),
                : [w] "x" (halves[h]),
                  [x] "x" (x),
            );
            acc[h] +%= product;
        }
    }
}

const Case = struct {
    name: []const u8,
    prepare: *const fn (std.Random) void,
    run: *const fn () void,
    macs: u64,
    additions: u64,
    repeats: u64,
};

fn case(comptime name: []const u8, comptime shape: Shape) Case {
    const S = Stream(shape);
    return .{
        .name = name,
        .prepare = S.prepare,
        .run = S.run,
        .macs = S.macs * (round_steps / shape.rows),
        .additions = S.additions * (round_steps / shape.rows),
        .repeats = round_steps / shape.rows,
    };
}

const ymm = [_]Case{
    case("dot products", .{ .tokens = 16, .segments = 4, .table_rows = 0, .dots = true }),
    case("ymm, 8 a row, shifts", .{
        .tokens = 16,
        .segments = 8,
        .table_rows = 6,
        .mode = .shifts,
    }),
    case("ymm, 8 a row", .{ .tokens = 16, .segments = 8, .table_rows = 6 }),
    case("ymm, 12 a row", .{ .tokens = 16, .segments = 12, .table_rows = 6 }),
    case("ymm, 1 row a step", .{ .tokens = 16, .segments = 8, .table_rows = 1, .dots = true }),
    case("ymm, 2 rows a step", .{ .tokens = 16, .segments = 8, .table_rows = 2, .dots = true }),
    case("ymm, 4 rows a step", .{ .tokens = 16, .segments = 8, .table_rows = 4, .dots = true }),
};
const zmm = [_]Case{
    case("zmm, 4 a row", .{ .tokens = 32, .segments = 4, .table_rows = 6 }),
    case("zmm, 8 a row", .{ .tokens = 32, .segments = 8, .table_rows = 6 }),
    case("zmm, 2 rows a step", .{ .tokens = 32, .segments = 4, .table_rows = 2, .dots = true }),
    case("zmm, 3 rows a step", .{ .tokens = 32, .segments = 4, .table_rows = 3, .dots = true }),
    case("zmm, 4 rows a step", .{ .tokens = 32, .segments = 4, .table_rows = 4, .dots = true }),
    case("zmm, 5 rows a step", .{ .tokens = 32, .segments = 4, .table_rows = 5, .dots = true }),
    case("zmm, 6 rows a step", .{ .tokens = 32, .segments = 4, .table_rows = 6, .dots = true }),
} ++ far(.loads, "loads") ++ far(.shifts, "shifts");

/// Sums from the second-level cache, then the panel as long as in a product too.
fn far(comptime mode: Mode, comptime name: []const u8) [4]Case {
    var all: [4]Case = undefined;
    var i: usize = 0;
    inline for (.{ 16, 64 }) |panel_steps| inline for (.{ 2, 4 }) |table_rows| {
        all[i] = case(std.fmt.comptimePrint("far, {d} rows, panel {d}, {s}", .{
            table_rows,
            panel_steps,
            name,
        }), .{
            .tokens = 32,
            .segments = 4,
            .mode = mode,
            .table_rows = table_rows,
            .dots = true,
            .rows = 2048,
            .panel_steps = panel_steps,
        });
        i += 1;
    };
    return all;
}
const cases = if (dot.kind == .vnni) ymm ++ zmm else ymm;

/// Nanoseconds of this thread's processor time.
fn now() u64 {
    var t: std.os.linux.timespec = undefined;
    _ = std.os.linux.clock_gettime(.THREAD_CPUTIME_ID, &t);
    return @as(u64, @intCast(t.sec)) * 1_000_000_000 + @as(u64, @intCast(t.nsec));
}

const chain_clocks = 3 * 4 * 200_000;

/// Multiplications that wait for each other, three clocks each.
noinline fn chain() void {
    var n: u64 = 3;
    for (0..chain_clocks / 12) |_| asm volatile (
        \\imulq %[n], %[n]
        \\imulq %[n], %[n]
        \\imulq %[n], %[n]
        \\imulq %[n], %[n]
        : [n] "+r" (n),
    );
}

pub fn main() void {
    var best: [cases.len]u64 = @splat(std.math.maxInt(u64));
    var clock: u64 = std.math.maxInt(u64);
    var random = std.Random.DefaultPrng.init(1);
    for (cases) |c| c.prepare(random.random());
    for (0..rounds) |_| {
        const start = now();
        chain();
        clock = @min(clock, now() - start);
        for (cases, &best) |c, *least| {
            const t = now();
            for (0..c.repeats) |_| c.run();
            least.* = @min(least.*, now() - t);
        }
    }
    const ghz = chain_clocks / @as(f64, @floatFromInt(clock));
    std.debug.print("{s}, {d:.2} GHz\n", .{ @tagName(dot.kind), ghz });
    for (cases, best) |c, ns| {
        const t: f64 = @floatFromInt(ns);
        const gmacs = @as(f64, @floatFromInt(c.macs)) / t;
        const additions = @as(f64, @floatFromInt(c.additions)) / t / ghz;
        std.debug.print("{s: <30} {d: >4.0} GMAC/s", .{ c.name, gmacs });
        if (c.additions > 0) std.debug.print("  {d:.2} additions a clock", .{additions});
        std.debug.print("\n", .{});
    }
}
