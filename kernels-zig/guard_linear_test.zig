//! As guard_test.zig, for what reads weights: linears, experts, heads, unpacking, probes. Ends with
//! the check that every op of the table was run between guards.
const std = @import("std");
const abi = @import("abi.zig");
const cache = @import("cache.zig");
const guard = @import("guard_test.zig");
const ops = @import("ops/ops.zig");
const pools = @import("pool.zig");

const Guarded = guard.Guarded;
const Step = guard.Step;

/// Weights of some shape, packed for a linear format; a raw one has random bytes of its own.
const Weights = struct {
    bytes: Guarded(u8),

    fn init(format: []const u8, n: u32, k: u32) !Weights {
        const entry = try guard.find("linear", format);
        const pack = entry.pack orelse {
            const raw = try Guarded(u8).init(@as(usize, n) * k / 4);
            return .{ .bytes = raw };
        };
        const bytes = try Guarded(u8).init(entry.packed_bytes.?(n, k));
        var first: u32 = 0;
        while (first < n) : (first += abi.block_rows) {
            const rows = @min(abi.block_rows, n - first);
            const values = try sourceOf(entry.input, rows * k, first);
            defer values.deinit();
            const source: abi.PackSource = .{ .values = values.address(), .rows = rows, .k = k };
            pack(&source, first, n, bytes.address());
        }
        return .{ .bytes = bytes };
    }

    /// Trits as bytes, or floats.
    fn sourceOf(input: abi.Input, count: usize, seed: u64) !Guarded(u8) {
        const values = try Guarded(u8).init(if (input == .f32) 4 * count else count);
        var random = std.Random.DefaultPrng.init(seed);
        for (0..count) |i| {
            const trit: i8 = @as(i8, @intCast(random.random().uintLessThan(u8, 3))) - 1;
            if (input == .f32) {
                const float: f32 = @floatFromInt(trit);
                @memcpy(values.items[4 * i ..][0..4], std.mem.asBytes(&float));
            } else values.items[i] = @bitCast(trit);
        }
        return values;
    }
};

/// Activations of `rows` rows as a format wants them.
const Activations = struct {
    x: Guarded(u8),
    scales: Guarded(abi.RowScale),
    stride: u32,

    fn init(input: abi.Input, rows: u32, k: u32, blocks: u32) !Activations {
        const stride = if (input == .f32) k else (k + 63) / 64 * 64;
        const element: u32 = if (input == .f32) 4 else 1;
        const x = try Guarded(u8).init(rows * stride * element);
        @memset(x.items, 0);
        for (0..rows) |r| for (0..k) |i| {
            if (input == .f32) {
                const value: f32 = @floatFromInt((r + i) % 7);
                @memcpy(x.items[4 * (r * stride + i) ..][0..4], std.mem.asBytes(&value));
            } else x.items[r * stride + i] = @intCast((r + i) % 7);
        };
        const scales = try Guarded(abi.RowScale).init(rows * blocks);
        for (scales.items) |*scale| scale.* = .{ .inverse = 0.5, .sum = 3 };
        return .{ .x = x, .scales = scales, .stride = stride };
    }

    fn deinit(a: Activations) void {
        a.x.deinit();
        a.scales.deinit();
    }
};

const Case = struct { gate: u32 = 0, group: u32 = 0, extras: bool = false };

fn linearRows(format: []const u8, n: u32, k: u32, rows: u32, case: Case, pool: u64) !void {
    _ = try linearOf("linear", format, n, k, rows, case, pool);
}

/// Returns a hash of the outputs.
fn linearOf(
    name: []const u8,
    format: []const u8,
    n: u32,
    k: u32,
    rows: u32,
    case: Case,
    pool: u64,
) !u64 {
    const entry = try guard.find(name, format);
    const weights = try Weights.init(format, n, k);
    defer weights.bytes.deinit();
    const blocks = if (case.group == 0) 1 else k / case.group;
    const in = try Activations.init(entry.input, rows, k, blocks);
    defer in.deinit();
    const scale = try Guarded(f32).floats(n * blocks, n);
    defer scale.deinit();
    const bias = try Guarded(f32).floats(n, k);
    defer bias.deinit();
    const columns = if (case.gate != 0) n / 2 else n;
    const add = try Guarded(f32).floats(rows * columns, rows);
    defer add.deinit();
    const out = try Guarded(f32).init(rows * columns);
    defer out.deinit();
    const step = try Step.init(rows, 0, 1);
    defer step.deinit();
    var a = std.mem.zeroes(abi.args.Linear);
    a.x = in.x.address();
    a.x_scale = if (entry.input == .f32) 0 else in.scales.address();
    a.weight = weights.bytes.address();
    a.scale = if (entry.input == .f32 and entry.pack != null) 0 else scale.address();
    a.bias = if (case.extras) bias.address() else 0;
    a.add = if (case.extras) add.address() else 0;
    a.out = out.address();
    a.x_stride = in.stride;
    a.out_stride = columns;
    a.add_stride = columns;
    a.n = n;
    a.k = k;
    a.group = case.group;
    a.q_block = if (case.group == 0) 0 else case.group;
    a.gate = case.gate;
    a.multiplier = 1;
    try guard.runFormat(name, format, a, &step, pool);
    for (out.items) |value| try std.testing.expect(std.math.isFinite(value));
    return std.hash.Wyhash.hash(0, std.mem.sliceAsBytes(out.items));
}

const row_counts = [_]u32{ 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 16, 17, 31, 63, 64, 65, 130 };

test "linears stay inside their arrays, in every layout and path" {
    const pool = pools.create(2, 1 << 20);
    defer pools.destroy(pool);
    for ([_][]const u8{ "t2", "t5", "i2_s", "f32", "f16", "bf16" }) |format| {
        const raw = std.mem.eql(u8, format, "i2_s");
        const ternary = raw or format[0] == 't';
        for (if (raw) &[_]u32{ 128, 640 } else &[_]u32{ 1, 20, 64, 100, 257, 640 }) |k| {
            for ([_]u32{ 1, 15, 16, 17, 96, 200 }) |n| for (row_counts) |rows| {
                try linearRows(format, n, k, rows, .{ .extras = rows % 2 == 0 }, pool);
            };
            for ([_]u32{ 32, 96, 288 }) |n| for ([_]u32{ 1, 5, 9, 66 }) |rows| {
                const silu: u32 = @intFromEnum(abi.Activation.silu);
                try linearRows(format, n, k, rows, .{ .gate = silu, .extras = true }, pool);
            };
        }
        if (!ternary or raw) continue;
        for ([_]u32{ 32, 64, 128 }) |group| for ([_]u32{ 1, 17, 96 }) |n| {
            for ([_]u32{ 1, 4, 5, 63, 65 }) |rows| {
                try linearRows(format, n, 3 * group, rows, .{ .group = group }, pool);
            }
        };
    }
}

test "look-ups beside products stay inside their arrays" {
    const pool = pools.create(2, 1 << 20);
    defer pools.destroy(pool);
    for (ops.entries) |entry| {
        const name = std.mem.span(entry.op);
        if (!std.mem.eql(u8, name, "linear_hybrid")) continue;
        const format = std.mem.span(entry.format);
        for ([_]u32{ 1, 20, 257, 640 }) |k| for ([_]u32{ 1, 64, 79, 130 }) |rows| {
            _ = try linearOf(name, format, 1030, k, rows, .{ .extras = true }, pool);
            _ = try linearOf(name, format, 2080, k, rows, .{ .gate = 1 }, pool);
        };
        // The last of 21 units has two blocks.
        const many = pools.create(21, 1 << 20);
        defer pools.destroy(many);
        _ = try linearOf(name, format, 1362 * abi.block_rows, 20, 70, .{}, many);
    }
}

test "the size of the first-level cache changes no output" {
    const pool = pools.create(2, 1 << 20);
    defer pools.destroy(pool);
    defer cache.assume(0);
    for (ops.entries) |entry| {
        const name = std.mem.span(entry.op);
        const format = std.mem.span(entry.format);
        if (!std.mem.startsWith(u8, name, "linear") or format.len == 0) continue;
        if (format[0] != 't') continue;
        for ([_]u32{ 340, 1300 }) |k| for ([_]u32{ 13, 40, 130 }) |rows| {
            var hashes: [3]u64 = undefined;
            for (&hashes, [_]u32{ 16 << 10, 32 << 10, 64 << 10 }) |*hash, bytes| {
                cache.assume(bytes);
                hash.* = try linearOf(name, format, 1100, k, rows, .{}, pool);
            }
            for (hashes) |hash| try std.testing.expectEqual(hashes[0], hash);
        };
        const grouped: Case = .{ .group = 320 };
        cache.assume(32 << 10);
        const hash = try linearOf(name, format, 96, 960, 70, grouped, pool);
        cache.assume(64 << 10);
        try std.testing.expectEqual(hash, try linearOf(name, format, 96, 960, 70, grouped, pool));
    }
}

test "experts stay inside their arrays, from the router to the sum" {
    const pool = pools.create(2, 1 << 20);
    defer pools.destroy(pool);
    for ([_][]const u8{ "t2", "t5", "f32" }) |format| for ([_]u32{ 1, 3, 17 }) |rows| {
        for ([_]u32{ 1, 5, 37 }) |experts| {
            try mixture(format, rows, experts, @min(2, experts), pool);
        }
    };
}

fn mixture(format: []const u8, rows: u32, experts: u32, top_k: u32, pool: u64) !void {
    const entry = try guard.find("linear", format);
    const n = 48;
    const k = 100;
    const choices = rows * top_k;
    const step = try Step.init(rows, 0, 1);
    defer step.deinit();
    const logits = try Guarded(f32).floats(rows * experts, experts);
    defer logits.deinit();
    const ids = try Guarded(u32).init(choices);
    defer ids.deinit();
    const weights = try Guarded(f32).init(choices);
    defer weights.deinit();
    const bias = try Guarded(f32).floats(experts, 9);
    defer bias.deinit();
    var route = std.mem.zeroes(abi.args.Route);
    route.logits = logits.address();
    route.ids = ids.address();
    route.weights = weights.address();
    route.stride = experts;
    route.experts = experts;
    route.top_k = top_k;
    route.scale = 1;
    for ([_]abi.RouteKind{ .fixed, .sigmoid, .softmax }) |kind| {
        route.kind = @intFromEnum(kind);
        route.bias = if (kind == .sigmoid) bias.address() else 0;
        try guard.run("route", route, &step, pool);
    }
    const starts = try Guarded(u32).init(experts + 1);
    defer starts.deinit();
    var lists: [3]Guarded(u32) = undefined;
    for (&lists) |*list| list.* = try Guarded(u32).init(choices);
    defer for (lists) |list| list.deinit();
    const counts = try Guarded(u64).init(experts);
    defer counts.deinit();
    const sums = try Guarded(f64).init(experts);
    defer sums.deinit();
    @memset(counts.items, 0);
    @memset(sums.items, 0);
    try guard.run("group", abi.args.Group{
        .ids = ids.address(),
        .starts = starts.address(),
        .slots = lists[0].address(),
        .row_of = lists[1].address(),
        .expert_of = lists[2].address(),
        .counts = counts.address(),
        .probabilities = sums.address(),
        .logits = logits.address(),
        .stride = experts,
        .experts = experts,
        .top_k = top_k,
    }, &step, pool);
    const in = try Activations.init(entry.input, rows, k, 1);
    defer in.deinit();
    const sorted = try Activations.init(entry.input, choices, k, 1);
    defer sorted.deinit();
    const element: u32 = if (entry.input == .f32) 4 else 1;
    try guard.run("gather", abi.args.Gather{
        .in = in.x.address(),
        .out = sorted.x.address(),
        .index = lists[1].address(),
        .scale_in = in.scales.address(),
        .scale_out = sorted.scales.address(),
        .in_stride = in.stride * element,
        .out_stride = in.stride * element,
        .bytes = in.stride * element,
        .multiplier = top_k,
    }, &step, pool);
    const one = entry.packed_bytes.?(n, k);
    const stack = try Guarded(u8).init(one * experts);
    defer stack.deinit();
    const single = try Weights.init(format, n, k);
    defer single.bytes.deinit();
    for (0..experts) |e| @memcpy(stack.items[e * one ..][0..one], single.bytes.items);
    const scale = try Guarded(f32).floats(experts * n, 3);
    defer scale.deinit();
    const out = try Guarded(f32).init(choices * n);
    defer out.deinit();
    var linear = std.mem.zeroes(abi.args.Experts);
    linear.x = sorted.x.address();
    linear.x_scale = if (entry.input == .f32) 0 else sorted.scales.address();
    linear.weight = stack.address();
    linear.scale = if (entry.input == .f32) 0 else scale.address();
    linear.out = out.address();
    linear.x_stride = sorted.stride;
    linear.out_stride = n;
    linear.n = n;
    linear.k = k;
    linear.multiplier = 1;
    linear.run = @intFromPtr(entry.run.?);
    linear.units = @intFromPtr(entry.units.?);
    linear.starts = starts.address();
    linear.weight_stride = one;
    linear.scale_stride = n * 4;
    linear.experts = experts;
    linear.top_k = top_k;
    try guard.run("linear_experts", linear, &step, pool);
    const sum = try Guarded(f32).init(rows * n);
    defer sum.deinit();
    try guard.run("scatter", abi.args.Scatter{
        .in = out.address(),
        .slots = lists[0].address(),
        .weights = weights.address(),
        .add = 0,
        .out = sum.address(),
        .in_stride = n,
        .add_stride = 0,
        .out_stride = n,
        .columns = n,
        .top_k = top_k,
    }, &step, pool);
    for (sum.items) |value| try std.testing.expect(std.math.isFinite(value));
}

test "screened heads stay inside their arrays" {
    const pool = pools.create(2, 1 << 20);
    defer pools.destroy(pool);
    for ([_][]const u8{ "f16", "bf16", "f32" }) |format| {
        for ([_]u32{ 17, 500, 1040 }) |n| for ([_]u32{ 30, 64, 200 }) |k| {
            const weights = try Weights.init(format, n, k);
            defer weights.bytes.deinit();
            const at = weights.bytes.address();
            for ([_]u32{ 1, 2, 5, 16, 17 }) |rows| try headRows(format, at, n, k, rows, pool);
        };
    }
}

test "heads on stored rows stay inside the file" {
    const pool = pools.create(2, 1 << 20);
    defer pools.destroy(pool);
    for ([_]Stored{
        .{ "q8_0", 0, 32, 34 },     .{ "q6_k", 0, 256, 210 },
        .{ "f16_rows", 0, 16, 32 }, .{ "bf16_rows", 0, 16, 32 },
    }) |stored| {
        const format, _, const block, const bytes = stored;
        for ([_]u32{ 16, 560 }) |n| for ([_]u32{ 1, 3 }) |times| {
            const k = block * times;
            const weights = try Guarded(u8).init(n * times * bytes);
            defer weights.deinit();
            @memset(weights.items, 1);
            for ([_]u32{ 1, 5, 17, 40 }) |rows| {
                try storedRows(format, weights.address(), n, k, rows, pool);
                try headRows(format, weights.address(), n, k, rows, pool);
            }
        };
    }
}

fn storedRows(format: []const u8, weight: u64, n: u32, k: u32, rows: u32, pool: u64) !void {
    const x = try Guarded(f32).floats(rows * k, n);
    defer x.deinit();
    const out = try Guarded(f32).init(rows * n);
    defer out.deinit();
    const step = try Step.init(rows, 0, 1);
    defer step.deinit();
    var linear = std.mem.zeroes(abi.args.Linear);
    linear.x = x.address();
    linear.weight = weight;
    linear.out = out.address();
    linear.x_stride = k;
    linear.out_stride = n;
    linear.n = n;
    linear.k = k;
    linear.multiplier = 1;
    try guard.runFormat("head_linear", format, linear, &step, pool);
    for (out.items) |value| try std.testing.expect(std.math.isFinite(value));
}

fn headRows(format: []const u8, weight: u64, n: u32, k: u32, rows: u32, pool: u64) !void {
    const pack = try guard.find("head_pack", format);
    const screen = try guard.find("head_screen", "");
    const plane = try Guarded(u8).init(pack.packed_bytes.?(n, k));
    defer plane.deinit();
    const work = try Guarded(u8).init(rows * screen.packed_bytes.?(n, k));
    defer work.deinit();
    const x = try Guarded(f32).floats(rows * k, n);
    defer x.deinit();
    const top: u32 = @min(n, 10);
    const logits = try Guarded(f32).init(rows * n);
    defer logits.deinit();
    const ids = try Guarded(u32).init(rows * top);
    defer ids.deinit();
    const values = try Guarded(f32).init(rows * top);
    defer values.deinit();
    const counts = try Guarded(u32).init(rows);
    defer counts.deinit();
    const mask = try Guarded(u32).init((n + 31) / 32);
    defer mask.deinit();
    @memset(mask.items, 0xffff_ffff);
    const masks = try Guarded(u64).init(rows);
    defer masks.deinit();
    for (masks.items, 0..) |*address, r| address.* = if (r % 2 == 0) mask.address() else 0;
    var step = try Step.init(rows, 0, 1);
    defer step.deinit();
    step.header.logit_rows = rows;
    const index = try Guarded(u32).init(rows);
    defer index.deinit();
    for (index.items, 0..) |*i, r| i.* = @intCast(r);
    step.header.logit_index = index.address();
    const head: abi.args.Head = .{
        .x = x.address(),
        .weight = weight,
        .plane = plane.address(),
        .work = work.address(),
        .logits = logits.address(),
        .ids = ids.address(),
        .values = values.address(),
        .counts = counts.address(),
        .x_stride = k,
        .logits_stride = n,
        .n = n,
        .k = k,
        .top = top,
        .multiplier = 1,
        .masks = masks.address(),
        .first_block = 0,
        .blocks = 0,
    };
    for ([_][]const u8{ "head_columns", "head_pack" }) |name| {
        try guard.runFormat(name, format, head, &step, pool);
    }
    try guard.run("head_prepare", head, &step, pool);
    try guard.run("head_screen", head, &step, pool);
    try guard.runFormat("head_threshold", format, head, &step, pool);
    try guard.runFormat("head_rescore", format, head, &step, pool);
    try guard.run("head_top", head, &step, pool);
    for (ids.items) |id| try std.testing.expect(id < n);
}

/// Bytes of a row of k values are fixed + k / weights * bytes.
const Stored = struct { []const u8, u32, u32, u32 };

test "unpacking stays inside the tensor and the rows" {
    for ([_]Stored{
        .{ "hf-packed", 0, 4, 1 }, .{ "i2_s", 0, 4, 1 },     .{ "sglang", 0, 128, 32 },
        .{ "tq2_0", 0, 256, 66 },  .{ "tq1_0", 0, 256, 54 }, .{ "iq2_bn", 4, 64, 16 },
        .{ "iq1_bn", 2, 64, 13 },  .{ "q2_0", 0, 64, 18 },   .{ "q2_0_g128", 0, 128, 34 },
        .{ "pq2_0", 0, 128, 34 },  .{ "f32", 0, 1, 4 },      .{ "f16", 0, 1, 2 },
        .{ "bf16", 0, 1, 2 },      .{ "q8_0", 0, 32, 34 },   .{ "q6_k", 0, 256, 210 },
    }) |stored| {
        const format, const fixed, const block, const bytes = stored;
        const entry = try guard.find("unpack", format);
        const float = std.mem.indexOfScalar(u8, "fbq", format[0]) != null and format[1] != '2';
        for ([_]u32{ 4, 20, 36 }) |n| for ([_]u32{ 1, 2, 3, 5 }) |times| {
            // i2_s blocks run on over rows; the others' rows are whole blocks.
            const k = if (block == 1) times * 7 else @max(block, 32) * times;
            if (n * k % 128 != 0 and std.mem.eql(u8, format, "i2_s")) continue;
            const source = try Guarded(u8).init(n * (fixed + k / block * bytes));
            defer source.deinit();
            @memset(source.items, 0);
            var first: u32 = 0;
            while (first < n) : (first += 16) {
                const rows = @min(16, n - first);
                const out = try Guarded(u8).init(rows * k * @as(u32, if (float) 4 else 1));
                defer out.deinit();
                const failed = entry.unpack.?(source.address(), n, k, first, rows, out.address());
                try std.testing.expectEqual(0, failed);
            }
        };
    }
}

test "probes stay inside their memory" {
    const pool = pools.create(2, 1 << 20);
    defer pools.destroy(pool);
    const step = try Step.init(1, 0, 1);
    defer step.deinit();
    const memory = try Guarded(u8).init(3 << 16);
    defer memory.deinit();
    const result = try Guarded(u64).init(256);
    defer result.deinit();
    @memset(result.items, 0);
    for ([_][]const u8{ "read", "int8" }) |format| for ([_]u32{ 0, 20 }) |steps| {
        try guard.runFormat("probe", format, abi.args.Probe{
            .memory = memory.address(),
            .bytes = memory.items.len,
            .result = result.address(),
            .steps = steps,
        }, &step, pool);
    };
}

test "every op of the table was run between guards" {
    for (guard.seen, ops.entries) |seen, entry| {
        if (!seen) std.debug.print("not run: {s} {s}\n", .{ entry.op, entry.format });
        try std.testing.expect(seen);
    }
}
