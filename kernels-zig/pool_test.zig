//! Stress test of pool and executor: every unit of every op runs exactly once, in the ops' order.
const std = @import("std");
const abi = @import("abi.zig");
const executor = @import("executor.zig");
const pools = @import("pool.zig");

const Args = extern struct { counts: u64, units: u32, expected: u32 };

fn argsOf(op: *const abi.Op) *const Args {
    return @ptrCast(&op.args);
}

fn units(op: *const abi.Op, _: *const abi.Step) callconv(.c) u32 {
    return argsOf(op).units;
}

/// Raises counts[u] from `expected` to expected + 1: fails where an earlier op is not finished.
fn run(
    op: *const abi.Op,
    _: *const abi.Step,
    _: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const args = argsOf(op);
    const counts: [*]u32 = @ptrFromInt(args.counts);
    for (begin..end) |u| {
        // A unit's neighbour was written by another thread in the op before.
        const neighbour = counts[args.units + (u + 1) % args.units];
        _ = neighbour;
        counts[u] = if (counts[u] == args.expected) args.expected + 1 else 0xdead;
    }
}

fn stress(threads: u32, steps: u32) !void {
    const pool = pools.create(threads, 4096);
    try std.testing.expect(pool != 0);
    defer pools.destroy(pool);
    const count = 12;
    var counts: [2 * 64]u32 = undefined;
    var ops: [count]abi.Op = undefined;
    var random = std.Random.DefaultPrng.init(threads);
    var step = std.mem.zeroes(abi.Step);
    for (0..steps) |_| {
        @memset(&counts, 0);
        const width = 1 + random.random().uintLessThan(u32, 64);
        var expected: u32 = 0;
        for (&ops) |*op| {
            op.* = .{
                .run = @intFromPtr(&run),
                .units = @intFromPtr(&units),
                .grain = 1 + random.random().uintLessThan(u32, 5),
                .tag = 0,
                .args = undefined,
            };
            const args: *Args = @ptrCast(&op.args);
            const empty = random.random().uintLessThan(u32, 6) == 0;
            args.* = .{
                .counts = @intFromPtr(&counts),
                .units = if (empty) 0 else width,
                .expected = expected,
            };
            if (!empty) expected += 1;
        }
        executor.run(pool, @intFromPtr(&ops), count, @intFromPtr(&step), 0);
        for (counts[0..width]) |c| try std.testing.expectEqual(expected, c);
    }
}

test "every unit runs once and in order, whatever the threads" {
    for ([_]u32{ 1, 2, 3, 4 }) |threads| try stress(threads, 20_000);
}

test "more groups than a range can count" {
    const pool = pools.create(2, 0);
    defer pools.destroy(pool);
    const width = 3 << 20;
    const counts = try std.testing.allocator.alloc(u32, 2 * width);
    defer std.testing.allocator.free(counts);
    @memset(counts, 0);
    var op: abi.Op = .{
        .run = @intFromPtr(&run),
        .units = @intFromPtr(&units),
        .grain = 1,
        .tag = 0,
        .args = undefined,
    };
    const args: *Args = @ptrCast(&op.args);
    args.* = .{ .counts = @intFromPtr(counts.ptr), .units = width, .expected = 0 };
    var step = std.mem.zeroes(abi.Step);
    executor.run(pool, @intFromPtr(&op), 1, @intFromPtr(&step), 0);
    for (counts[0..width]) |c| try std.testing.expectEqual(1, c);
}
