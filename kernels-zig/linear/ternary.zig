//! Ternary linear on int8 activations for a packed layout: how work is cut, and its two paths.
//! A layout is a file like t2.zig: planes, columns, encode, decode, decodeScaled, unscale.
const abi = @import("../abi.zig");
const dot = @import("dot.zig");
const epilogue = @import("epilogue.zig");
const grouped = @import("grouped.zig");
const hybrid = @import("hybrid.zig");
const packBlock = @import("pack.zig").packBlock;
const panel = @import("panel.zig");
const stream = @import("../stream.zig");
const table = @import("table.zig");

const Linear = abi.args.Linear;
const block_rows = abi.block_rows;
const block_bytes = 64;

/// Rows of a step up to which weights are decoded straight into the products.
const direct_rows = switch (dot.kind) {
    .vnni => 12,
    else => 8,
};
/// Rows of x that are multiplied together there with one block of weights.
const tile_rows = 4;
/// Whether more rows are multiplied with two blocks at once.
const has_pairs = dot.kind == .vnni;
/// Weights that a unit of the few-rows path reads at least, where there are enough.
const unit_bytes = 64 << 10;
/// Tokens of a unit of the many-rows path.
const max_chunk = 256;

/// A piece of the work: blocks of 16 rows of W times rows of x.
pub const Part = struct {
    a: *const Linear,
    first_block: u32,
    blocks: u32,
    first_row: u32,
    rows: u32,

    pub fn activations(part: Part, row: u32) [*]const i8 {
        const base: [*]const i8 = @ptrFromInt(part.a.x);
        return base + @as(u64, part.first_row + row) * part.a.x_stride;
    }

    /// A panel's blocks from `block`, of some of the rows.
    pub fn slice(part: Part, block: u32, row: u32, rows: u32) Part {
        return .{
            .a = part.a,
            .first_block = part.first_block + block,
            .blocks = @min(panel.blocks, part.blocks - block),
            .first_row = part.first_row + row,
            .rows = rows,
        };
    }

    fn scale(part: Part, row: u32) abi.RowScale {
        const base: [*]const abi.RowScale = @ptrFromInt(part.a.x_scale);
        return base[part.first_row + row];
    }

    /// Asks for the lines that a row's outputs go to.
    pub fn prefetch(part: Part, row: u32) void {
        const gates: u32 = if (part.a.gate != 0) 2 else 1;
        var block: u32 = 0;
        while (block < part.blocks) : (block += gates) {
            const column = (part.first_block + block) * block_rows / gates;
            epilogue.prefetch(part.a, part.first_row + row, column);
        }
    }

    /// Writes columns of one block (two with a gate) of one row, given what `value(g)` yields.
    pub inline fn write(part: Part, block: u32, row: u32, values: [2]epilogue.F) void {
        const a = part.a;
        const column = (part.first_block + block) * block_rows;
        const first = epilogue.adjust(a, values[0], column);
        const to = part.first_row + row;
        if (a.gate == 0) return epilogue.store(a, first, to, column);
        const second = epilogue.adjust(a, values[1], column + block_rows);
        epilogue.store(a, epilogue.gated(a, first, second), to, column / 2);
    }

    /// Writes columns of one block (two with a gate) of one row from sums over code = trit + 1.
    pub inline fn finish(part: Part, block: u32, row: u32, sums: [2]dot.Total) void {
        const extra: dot.Total = @splat(part.scale(row).sum);
        part.finishExact(block, row, .{ sums[0] - extra, sums[1] - extra });
    }

    /// The same from sums over trits.
    pub inline fn finishExact(part: Part, block: u32, row: u32, sums: [2]dot.Total) void {
        const given = part.scale(row);
        var values: [2]epilogue.F = undefined;
        const gates: u32 = if (part.a.gate != 0) 2 else 1;
        for (0..gates) |g| {
            const column = (part.first_block + block + @as(u32, @intCast(g))) * block_rows;
            const scales = epilogue.loadColumns(part.a.scale, column, part.a.n);
            const real: epilogue.F = @floatFromInt(sums[g]);
            values[g] = real * (scales * @as(epilogue.F, @splat(given.inverse)));
        }
        part.write(block, row, values);
    }
};

/// How a step's work is cut.
const Plan = struct {
    rows: u32,
    blocks: u32,
    /// Blocks of 16 rows of W in a unit; even, so that gate and up stay together.
    unit_blocks: u32,
    /// Units along n.
    across: u32,
    /// Rows of x in a unit.
    chunk: u32,
    path: Path,

    pub const Path = enum { direct, panel, table, grouped, hybrid };

    fn of(a: *const Linear, step: *const abi.Step, row_bytes: u64, many_path: Path) Plan {
        const logits = a.rows == @intFromEnum(abi.Rows.logits);
        const rows = if (logits) step.logit_rows else step.rows;
        const blocks = (a.n + block_rows - 1) / block_rows;
        const pieces = if (many_path == .hybrid) hybrid.cut(blocks, rows, step.threads) else null;
        const path: Path = if (a.group != 0)
            .grouped
        else if (rows <= direct_rows)
            .direct
        else if (many_path == .table and rows >= table.least_rows and a.k <= table.max_columns)
            .table
        else if (pieces != null)
            .hybrid
        else
            .panel;
        var unit: u32 = panel.blocks;
        var chunk: u32 = direct_rows;
        if (path == .direct) {
            // Few, large units read long streams; but every thread must get some.
            const enough: u32 = @intCast((unit_bytes - 1) / row_bytes + 1);
            unit = @max((@min(enough, blocks / 16) + 1) & ~@as(u32, 1), 2);
        } else if (path == .table) {
            const parts = table.across(blocks, rows, step.threads);
            // Even, so that gate and up stay together.
            unit = ((blocks - 1) / parts + 2) & ~@as(u32, 1);
            chunk = table.chunk;
        } else if (path == .hybrid) {
            unit = ((blocks - 1) / pieces.?.across / panel.blocks + 1) * panel.blocks;
            chunk = pieces.?.chunk;
        } else if (path == .grouped) {
            unit = if (blocks < 64) panel.blocks else 4 * panel.blocks;
            chunk = grouped.chunk;
        } else {
            chunk = if (blocks < 64) 64 else max_chunk;
        }
        return .{
            .rows = rows,
            .blocks = blocks,
            .unit_blocks = unit,
            .across = (blocks + unit - 1) / unit,
            .chunk = chunk,
            .path = path,
        };
    }

    fn count(plan: Plan) u32 {
        return plan.across * ((plan.rows + plan.chunk - 1) / plan.chunk);
    }

    fn part(plan: Plan, a: *const Linear, unit: u32) Part {
        const block = unit % plan.across * plan.unit_blocks;
        const row = unit / plan.across * plan.chunk;
        return .{
            .a = a,
            .first_block = block,
            .blocks = @min(plan.unit_blocks, plan.blocks - block),
            .first_row = row,
            .rows = @min(plan.chunk, plan.rows - row),
        };
    }
};

pub fn Ternary(comptime layout: type) type {
    return struct {
        const Self = @This();
        pub const planes = layout.planes;
        /// Look-ups need a byte that is 4 weights, and win where there is no dot product
        /// instruction for bytes.
        const has_tables = dot.kind == .avx2 and layout.planes == 4;

        /// Bytes of a block of 16 rows.
        pub fn rowBytes(k: u32) u64 {
            return @as(u64, (k + layout.columns - 1) / layout.columns) * block_bytes;
        }

        pub fn packedBytes(n: u32, k: u32) callconv(.c) u64 {
            return rowBytes(k) * ((n + block_rows - 1) / block_rows);
        }

        /// Packs trits i8 [rows][k] as rows first_row.. (a multiple of 16) of the matrix.
        /// Rows missing to a full block become zero weights.
        pub fn pack(
            source: *const abi.PackSource,
            first_row: u32,
            _: u32,
            out: u64,
        ) callconv(.c) void {
            const trits: [*]const i8 = @ptrFromInt(source.values);
            const to: [*]u8 = @ptrFromInt(out);
            var row: u32 = 0;
            while (row < source.rows) : (row += block_rows) {
                const block = to + (first_row + row) / block_rows * rowBytes(source.k);
                const rows = @min(block_rows, source.rows - row);
                packBlock(layout, trits + @as(u64, row) * source.k, rows, source.k, block);
            }
        }

        /// Functions of an entry that takes `path` where there are many rows and it can.
        pub fn Entry(comptime path: Plan.Path) type {
            return struct {
                pub fn units(op: *const abi.Op, step: *const abi.Step) callconv(.c) u32 {
                    const a: *const Linear = @ptrCast(&op.args);
                    return Plan.of(a, step, rowBytes(a.k), path).count();
                }

                pub fn run(
                    op: *const abi.Op,
                    step: *const abi.Step,
                    thread: *const abi.Thread,
                    begin: u32,
                    end: u32,
                ) callconv(.c) void {
                    const a: *const Linear = @ptrCast(&op.args);
                    const plan = Plan.of(a, step, rowBytes(a.k), path);
                    for (begin..end) |unit| runUnit(plan, plan.part(a, @intCast(unit)), thread);
                }
            };
        }

        const preferred = Entry(if (has_tables) .table else .panel);
        pub const units = preferred.units;
        pub const run = preferred.run;

        fn runUnit(plan: Plan, part: Part, thread: *const abi.Thread) void {
            switch (plan.path) {
                .direct => direct(part),
                .grouped => grouped.run(Self, part, thread),
                .panel => many(part, thread),
                .table => if (has_tables) lookUp(part, thread),
                .hybrid => if (dot.kind == .vnni) hybrid.run(Self, layout, part, thread),
            }
        }

        pub fn weights(part: Part, block: u32) [*]const u8 {
            const base: [*]const u8 = @ptrFromInt(part.a.weight);
            return base + (part.first_block + block) * rowBytes(part.a.k);
        }

        /// Few rows: each block's weights are read once, decoded in registers.
        fn direct(part: Part) void {
            const gates: u32 = if (part.a.gate != 0) 2 else 1;
            var sums: [direct_rows][2]dot.Total = undefined;
            var block: u32 = 0;
            while (block < part.blocks) {
                const paired = has_pairs and part.rows > tile_rows and block + 2 <= part.blocks;
                const blocks = if (paired) 2 else gates;
                if (paired) pair(part, block, &sums) else for (0..blocks) |g| {
                    const w = weights(part, block + @as(u32, @intCast(g)));
                    var row: u32 = 0;
                    while (row < part.rows) row += someRows(part, w, row, g, &sums);
                }
                for (0..part.rows) |r| {
                    const row: u32 = @intCast(r);
                    part.finish(block, row, sums[r]);
                    if (blocks > gates) part.finish(block + 1, row, .{ sums[r][1], sums[r][1] });
                }
                block += blocks;
            }
        }

        /// Sums of two blocks for all rows: activations are loaded once for both.
        fn pair(part: Part, block: u32, sums: *[direct_rows][2]dot.Total) void {
            const w = [2][*]const u8{ weights(part, block), weights(part, block + 1) };
            inline for (tile_rows + 1..direct_rows + 1) |rows| {
                if (part.rows == rows) pairDot(rows, w, part, sums[0..rows]);
            }
        }

        fn pairDot(
            comptime rows: u32,
            w: [2][*]const u8,
            part: Part,
            sums: *[rows][2]dot.Total,
        ) void {
            @setEvalBranchQuota(10000);
            const x = part.activations(0);
            const stride = part.a.x_stride;
            const steps = (part.a.k + 3) / 4;
            const blocks = steps / planes;
            var accs: [rows][2]dot.Acc = @splat(@splat(dot.zero()));
            // Decoded one block ahead: products that waited for it would fill the core's window.
            var next = decodePair(w, 0);
            for (0..blocks) |kb| {
                const codes = next;
                next = decodePair(w, @min(kb + 1, blocks - 1));
                const from = x + kb * layout.columns;
                inline for (0..planes) |i| {
                    inline for (0..rows) |r| {
                        const four = dot.load(from + r * stride + i * 4);
                        inline for (0..2) |b| {
                            accs[r][b] = dot.step(accs[r][b], codes[b][i], four);
                        }
                    }
                }
            }
            inline for (0..2) |b| {
                var rest: [rows]dot.Total = @splat(@splat(0));
                const left = steps % planes;
                if (left != 0) piece(rows, w[b], x, stride, blocks, 0, left, &rest);
                inline for (0..rows) |r| sums[r][b] = dot.total(accs[r][b]) + rest[r];
            }
        }

        inline fn decodePair(w: [2][*]const u8, kb: usize) [2][planes]dot.Codes {
            var codes: [2][planes]dot.Codes = undefined;
            inline for (0..2) |b| {
                const at = w[b] + kb * block_bytes;
                @prefetch(at + stream.pair, .{ .locality = 2 });
                codes[b] = layout.decode(at[0..block_bytes].*);
            }
            return codes;
        }

        /// Sums of a block for the next rows, as many as a tile holds; returns how many.
        fn someRows(
            part: Part,
            w: [*]const u8,
            row: u32,
            g: usize,
            sums: *[direct_rows][2]dot.Total,
        ) u32 {
            const left = part.rows - row;
            // Two tiles of equal height rather than a full and a low one.
            const count = if (left > tile_rows and left < 2 * tile_rows)
                (left + 1) / 2
            else
                @min(left, tile_rows);
            const x = part.activations(row);
            inline for (1..tile_rows + 1) |rows| {
                if (count == rows) {
                    const steps = (part.a.k + 3) / 4;
                    const found = rangeDot(rows, w, x, part.a.x_stride, 0, steps);
                    for (0..rows) |r| sums[row + r][g] = found[r];
                }
            }
            return count;
        }

        /// Sums of a block's 16 rows for `rows` tokens over steps from..to-1 of 4 columns;
        /// `w` and `x` are the row's beginnings.
        pub inline fn rangeDot(
            comptime rows: u32,
            w: [*]const u8,
            x: [*]const i8,
            stride: u32,
            from: u32,
            to: u32,
        ) [rows]dot.Total {
            const most = dot.max_steps / planes;
            var sums: [rows]dot.Total = @splat(@splat(0));
            var kb = from / planes;
            const skipped = from % planes;
            if (skipped != 0) {
                const end = @min(planes, skipped + to - from);
                piece(rows, w, x, stride, kb, skipped, end, &sums);
                kb += 1;
            }
            const whole = to / planes;
            while (kb < whole) {
                const blocks = @min(most, whole - kb);
                const input = x + kb * layout.columns;
                span(rows, w + kb * block_bytes, blocks, input, stride, &sums);
                kb += blocks;
            }
            // Activations end within the last block, or the range does.
            if (kb == whole and to % planes != 0) {
                piece(rows, w, x, stride, kb, 0, to % planes, &sums);
            }
            return sums;
        }

        /// Adds whole blocks, at most what an accumulator holds.
        inline fn span(
            comptime rows: u32,
            w: [*]const u8,
            blocks: u32,
            x: [*]const i8,
            stride: u32,
            sums: *[rows]dot.Total,
        ) void {
            @setEvalBranchQuota(10000);
            const scaled = dot.has_byte_permute and rows <= 4;
            // Enough independent sums to hide the latency of the dot product.
            const turns = if (rows == 1) 2 else 1;
            const split = if (scaled) planes else switch (dot.kind) {
                .vnni => 2,
                .neon => if (rows < 3) 2 else 1,
                // One addition of short latency.
                .avx2, .portable => 1,
            };
            var accs: [turns][rows][split]dot.Acc = @splat(@splat(@splat(dot.zero())));
            var kb: u32 = 0;
            // Decoded one block ahead where there are registers for it: products that waited for it
            // would fill the core's window.
            const early = dot.kind == .vnni;
            var next: [turns][planes]dot.Codes = undefined;
            if (early) inline for (0..turns) |turn| {
                next[turn] = codesOf(scaled, w, @min(turn, blocks - 1));
            };
            while (kb + turns <= blocks) : (kb += turns) {
                inline for (0..turns) |turn| {
                    const at = kb + turn;
                    const codes = if (early) next[turn] else codesOf(scaled, w, at);
                    if (early) next[turn] = codesOf(scaled, w, @min(at + turns, blocks - 1));
                    addBlock(rows, split, codes, x + at * layout.columns, stride, &accs[turn]);
                }
            }
            if (turns > 1 and kb < blocks) {
                const codes = if (early) next[0] else codesOf(scaled, w, kb);
                addBlock(rows, split, codes, x + kb * layout.columns, stride, &accs[0]);
            }
            inline for (0..turns) |turn| {
                inline for (0..rows) |r| {
                    if (scaled) {
                        sums[r] += layout.unscale(accs[turn][r]);
                    } else inline for (0..split) |i| sums[r] += dot.total(accs[turn][r][i]);
                }
            }
        }

        inline fn codesOf(comptime scaled: bool, w: [*]const u8, kb: usize) [planes]dot.Codes {
            const at = w + kb * block_bytes;
            stream.ahead(at);
            const bytes: dot.Codes = at[0..block_bytes].*;
            return if (scaled) layout.decodeScaled(bytes) else layout.decode(bytes);
        }

        inline fn addBlock(
            comptime rows: u32,
            comptime split: u32,
            codes: [planes]dot.Codes,
            x: [*]const i8,
            stride: u32,
            accs: *[rows][split]dot.Acc,
        ) void {
            inline for (0..planes) |i| {
                inline for (0..rows) |r| {
                    const acc = &accs[r][i % split];
                    acc.* = dot.step(acc.*, codes[i], dot.load(x + r * stride + i * 4));
                }
            }
        }

        /// Adds planes begin..end-1 of block `kb`.
        fn piece(
            comptime rows: u32,
            w: [*]const u8,
            x: [*]const i8,
            stride: u32,
            kb: u32,
            begin: u32,
            end: u32,
            sums: *[rows]dot.Total,
        ) void {
            const codes = layout.decode(w[kb * block_bytes ..][0..block_bytes].*);
            const input = x + kb * layout.columns;
            var accs: [rows]dot.Acc = @splat(dot.zero());
            inline for (0..planes) |i| {
                if (i >= begin and i < end) {
                    inline for (0..rows) |r| {
                        accs[r] = dot.step(accs[r], codes[i], dot.load(input + r * stride + i * 4));
                    }
                }
            }
            inline for (0..rows) |r| sums[r] += dot.total(accs[r]);
        }

        /// Many rows: a panel of 64 rows is decoded to L1 piece by piece, and used for all tokens.
        pub fn many(part: Part, thread: *const abi.Thread) void {
            const codes: [*]align(64) u8 = @ptrFromInt(thread.scratch);
            const sums: [*]panel.Sums = @ptrFromInt(thread.scratch + panel.bytes);
            const steps = (part.a.k + 3) / 4;
            const x = part.activations(0);
            const stride = part.a.x_stride;
            // Pieces of equal length rather than a short one at the end.
            const pieces = (steps - 1) / panelSteps() + 1;
            const most = ((steps - 1) / pieces / planes + 1) * planes;
            var at: u32 = 0;
            while (at + most < steps) : (at += most) {
                unpack(part, at, most, codes);
                const from = x + at * 4;
                panel.multiply(codes, most, from, stride, part.rows, sums, at != 0);
            }
            unpack(part, at, steps - at, codes);
            // A tile of tokens is finished while its sums are in L1. What it writes would be waited
            // for, so it is asked for before the products.
            var row: u32 = 0;
            while (row < part.rows) {
                const count = panel.tileTokens(part.rows - row);
                for (row..row + count) |r| part.prefetch(@intCast(r));
                const from = x + @as(u64, row) * stride + at * 4;
                panel.multiply(codes, steps - at, from, stride, count, sums + row, at != 0);
                for (row..row + count) |r| finishRow(part, @intCast(r), &sums[r]);
                row += count;
            }
        }

        /// Writes a row's columns of all blocks of a panel.
        pub fn finishRow(part: Part, row: u32, sums: *const panel.Sums) void {
            const gates: u32 = if (part.a.gate != 0) 2 else 1;
            var block: u32 = 0;
            while (block < part.blocks) : (block += gates) {
                part.finish(block, row, .{ sums[block], sums[block + gates - 1] });
            }
        }

        /// Many rows by table look-up; those that fill no tile of tokens by multiplication.
        fn lookUp(part: Part, thread: *const abi.Thread) void {
            const gates: u32 = if (part.a.gate != 0) 2 else 1;
            const few = part.rows % table.group;
            // Sums of a few tokens cost as much there as those of a whole group.
            const rest = if (few < table.least_group) few else 0;
            var tiled = part;
            tiled.rows -= rest;
            if (tiled.rows > 0) table.run(tiled, weights(part, 0), rowBytes(part.a.k), thread);
            var first_row: u32 = 0;
            while (first_row < tiled.rows) : (first_row += table.group) {
                const index = first_row / table.group;
                var block: u32 = 0;
                while (block < part.blocks) : (block += gates) {
                    const first = table.sumsOf(thread, index, block);
                    const last = block + gates - 1;
                    const second = if (last == block) first else table.sumsOf(thread, index, last);
                    for (0..@min(table.group, tiled.rows - first_row)) |r| {
                        const row = first_row + @as(u32, @intCast(r));
                        part.finishExact(block, row, .{ first[r], second[r] });
                    }
                }
            }
            var block: u32 = 0;
            while (rest > 0 and block < part.blocks) : (block += panel.blocks) {
                many(part.slice(block, part.rows - rest, rest), thread);
            }
        }

        /// Steps of a panel: whole blocks.
        pub fn panelSteps() u32 {
            return panel.fittingSteps() / planes * planes;
        }

        /// Distance to the weights that are wanted after this piece: the next columns of the block,
        /// or the first ones of the next panel's.
        inline fn nextPiece(part: Part, at: u32, steps: u32, blocks: u32) u64 {
            const row_bytes = rowBytes(part.a.k);
            const here = @as(u64, at / planes) * block_bytes;
            const last_piece = at + steps >= (part.a.k + 3) / 4;
            return if (last_piece) panel.blocks * row_bytes - here else blocks * block_bytes;
        }

        /// Decodes `steps` steps of the part's blocks from step `at` (a multiple of planes).
        pub fn unpack(part: Part, at: u32, steps: u32, codes: [*]align(64) u8) void {
            const blocks = (steps + planes - 1) / planes;
            const next = nextPiece(part, at, steps, blocks);
            for (0..part.blocks) |b| {
                const w = weights(part, @intCast(b)) + at / planes * block_bytes;
                for (0..blocks) |kb| {
                    @prefetch(w + next + kb * block_bytes, .{ .locality = 2 });
                    const decoded = layout.decode(w[kb * block_bytes ..][0..block_bytes].*);
                    inline for (0..planes) |i| {
                        const at_step = (kb * planes + i) * panel.step_bytes;
                        // As a whole vector: bytes would be written in two halves.
                        const to: *dot.Codes = @ptrCast(@alignCast(codes + at_step + b * 64));
                        to.* = decoded[i];
                    }
                }
            }
        }
    };
}
