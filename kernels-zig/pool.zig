//! A pool of threads that live as long as the engine; the caller of `run` is thread 0.
const std = @import("std");
const builtin = @import("builtin");
const abi = @import("abi.zig");
const executor = @import("executor.zig");
const memory = @import("memory.zig");

pub const max_threads = 256;
/// Ops of one batch of the executor; longer tapes run in several.
pub const max_ops = 4096;

/// One thread's part of an op: groups first..last-1 of an epoch, in one word so that both ends move
/// by compare-and-swap, and so that a late thread's swap fails.
pub const Range = packed struct(u64) {
    first: u20 = 0,
    last: u20 = 0,
    epoch: u24 = 0,
};
pub const max_groups = std.math.maxInt(u20);

/// A range alone on its cache line (two, for CPUs that fetch pairs).
pub const Slot = struct { range: u64 align(128) = 0 };

/// An op of the batch that runs now.
pub const Work = struct {
    /// Groups not yet finished; a futex.
    remaining: u32 align(128) = 0,
    /// Threads asleep on `remaining`.
    sleepers: u32 = 0,
    op: *const abi.Op align(64) = undefined,
    /// Units, and units in a group.
    units: u32 = 0,
    group: u32 = 1,
    tag: u32 = 0,
};

pub const Pool = struct {
    /// Number of the batch; a futex for idle workers.
    epoch: u32 align(128) = 0,
    sleepers: u32 = 0,
    stop: bool = false,
    /// What the batch works on; valid for a thread that holds a group of the batch.
    step: *const abi.Step align(128) = undefined,
    active: u32 = 0,
    /// A hint for threads that come late: ops before this one are finished.
    current: u32 align(128) = 0,
    threads: u32,
    /// Turns of the waiting loop in a microsecond.
    turns: u32,
    work: [*]Work,
    /// [max_ops][threads]
    slots: [*]Slot,
    scratch: u64,
    scratch_bytes: u64,
    bytes: u64,
    handles: [max_threads]std.Thread = undefined,

    pub fn slot(pool: *Pool, op: u32, thread: u32) *u64 {
        return &pool.slots[@as(usize, op) * pool.threads + thread].range;
    }

    pub fn context(pool: *const Pool, index: u32) abi.Thread {
        return .{
            .index = index,
            .count = pool.threads,
            .scratch = pool.scratch + pool.scratch_bytes * index,
            .scratch_bytes = pool.scratch_bytes,
        };
    }
};

/// Starts threads - 1 workers with `scratch_bytes` each. Returns the pool's address, 0 on failure.
pub fn create(threads: u32, scratch_bytes: u64) callconv(.c) u64 {
    if (threads == 0 or threads > max_threads or scratch_bytes > 1 << 32) return 0;
    const scratch = std.mem.alignForward(u64, scratch_bytes, 4096);
    const work_at = std.mem.alignForward(u64, @sizeOf(Pool), 4096);
    const slots_at = work_at + max_ops * @sizeOf(Work);
    const slots_bytes = max_ops * @as(u64, threads) * @sizeOf(Slot);
    const scratch_at = std.mem.alignForward(u64, slots_at + slots_bytes, 4096);
    const bytes = scratch_at + scratch * threads;
    const address = memory.alloc(bytes);
    if (address == 0) return 0;
    const pool: *Pool = @ptrFromInt(address);
    pool.* = .{
        .threads = threads,
        .turns = measureTurns(),
        .work = @ptrFromInt(address + work_at),
        .slots = @ptrFromInt(address + slots_at),
        .scratch = address + scratch_at,
        .scratch_bytes = scratch,
        .bytes = bytes,
    };
    for (1..threads) |i| {
        pool.handles[i] = std.Thread.spawn(.{ .stack_size = 4 << 20 }, executor.worker, .{
            pool,
            @as(u32, @intCast(i)),
        }) catch {
            stopWorkers(pool, i);
            memory.free(address, bytes);
            return 0;
        };
    }
    return address;
}

pub fn destroy(address: u64) callconv(.c) void {
    if (address == 0) return;
    const pool: *Pool = @ptrFromInt(address);
    stopWorkers(pool, pool.threads);
    memory.free(address, pool.bytes);
}

fn stopWorkers(pool: *Pool, count: usize) void {
    @atomicStore(bool, &pool.stop, true, .seq_cst);
    _ = @atomicRmw(u32, &pool.epoch, .Add, 1, .seq_cst);
    wake(&pool.epoch);
    for (pool.handles[1..count]) |handle| handle.join();
}

pub fn now() u64 {
    if (builtin.os.tag == .windows) return 0;
    var time: std.c.timespec = undefined;
    _ = std.c.clock_gettime(.MONOTONIC, &time);
    return @as(u64, @intCast(time.sec)) * 1_000_000_000 + @as(u64, @intCast(time.nsec));
}

fn measureTurns() u32 {
    var best: u64 = std.math.maxInt(u64);
    for (0..5) |_| {
        const begin = now();
        for (0..200) |_| std.atomic.spinLoopHint();
        best = @min(best, now() - begin);
    }
    return @intCast(@max(1, 200_000 / @max(best, 100)));
}

/// Sleeps while *word is `value` (may return early); a yield where there is no futex.
pub fn sleep(word: *const u32, value: u32) void {
    if (builtin.os.tag == .linux) {
        const op: std.os.linux.FUTEX_OP = .{ .cmd = .WAIT, .private = true };
        _ = std.os.linux.futex_4arg(word, op, value, null);
    } else std.Thread.yield() catch {};
}

/// Wakes every thread that sleeps on the word.
pub fn wake(word: *const u32) void {
    if (builtin.os.tag != .linux) return;
    const op: std.os.linux.FUTEX_OP = .{ .cmd = .WAKE, .private = true };
    _ = std.os.linux.futex_3arg(word, op, std.math.maxInt(i32));
}
