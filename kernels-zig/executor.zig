//! Runs a tape on a pool: each op's units in one range a thread, stolen from the back when one is done.
const std = @import("std");
const abi = @import("abi.zig");
const pools = @import("pool.zig");
const Pool = pools.Pool;
const Range = pools.Range;

/// Microseconds of spinning before a thread sleeps: inside a step, and between steps.
const spin_inside = 20;
const spin_between = 50;

/// Runs `count` ops at `ops` one after the other; adds nanoseconds of each to times[] unless 0.
pub fn run(pool: u64, ops: u64, count: u32, step: u64, times: u64) callconv(.c) void {
    const all: [*]const abi.Op = @ptrFromInt(ops);
    const header: *abi.Step = @ptrFromInt(step);
    header.threads = @as(*const Pool, @ptrFromInt(pool)).threads;
    const clock: ?[*]u64 = if (times == 0) null else @ptrFromInt(times);
    var first: u32 = 0;
    while (first < count) {
        const length = @min(count - first, pools.max_ops);
        const batch_clock = if (clock) |c| c + first else null;
        runBatch(@ptrFromInt(pool), all[first .. first + length], header, batch_clock);
        first += length;
    }
}

fn runBatch(pool: *Pool, ops: []const abi.Op, step: *const abi.Step, times: ?[*]u64) void {
    if (pool.threads == 1) return runAlone(pool, ops, step, times);
    // Only this thread writes the epoch. A thread that is late still may read the words that are
    // written here: it finds another epoch in them, takes nothing and leaves.
    const epoch = pool.epoch +% 1;
    var before = if (times != null) pools.now() else 0;
    prepare(pool, ops, step, @truncate(epoch));
    @atomicStore(u32, &pool.current, 0, .monotonic);
    @atomicStore(u32, &pool.epoch, epoch, .seq_cst);
    if (@atomicLoad(u32, &pool.sleepers, .seq_cst) != 0) pools.wake(&pool.epoch);
    var self = pool.context(0);
    for (0..pool.active) |i| {
        const index: u32 = @intCast(i);
        work(pool, index, &self, epoch);
        awaitOp(pool, index, epoch);
        @atomicStore(u32, &pool.current, index + 1, .release);
        if (times) |t| {
            const after = pools.now();
            t[pool.work[i].tag] += after - before;
            before = after;
        }
    }
}

fn runAlone(pool: *Pool, ops: []const abi.Op, step: *const abi.Step, times: ?[*]u64) void {
    var self = pool.context(0);
    for (ops, 0..) |*op, i| {
        const before = if (times != null) pools.now() else 0;
        const units = unitsOf(op, step);
        if (units > 0) runOf(op)(op, step, &self, 0, units);
        if (times) |t| t[i] += pools.now() - before;
    }
}

fn unitsOf(op: *const abi.Op, step: *const abi.Step) u32 {
    const units: abi.UnitsFn = @ptrFromInt(op.units);
    return units(op, step);
}

fn runOf(op: *const abi.Op) abi.RunFn {
    return @ptrFromInt(op.run);
}

/// Cuts every op that has work into one range a thread.
fn prepare(pool: *Pool, ops: []const abi.Op, step: *const abi.Step, epoch: u24) void {
    pool.step = step;
    var active: u32 = 0;
    for (ops, 0..) |*op, index| {
        const units = unitsOf(op, step);
        if (units == 0) continue;
        var group = @max(1, op.grain);
        while (std.math.divCeil(u32, units, group) catch unreachable > pools.max_groups) group *= 2;
        const groups = std.math.divCeil(u32, units, group) catch unreachable;
        const entry = &pool.work[active];
        entry.op = op;
        entry.units = units;
        entry.group = group;
        entry.tag = @intCast(index);
        @atomicStore(u32, &entry.remaining, groups, .monotonic);
        for (0..pool.threads) |t| {
            const thread: u32 = @intCast(t);
            @atomicStore(u64, pool.slot(active, thread), @bitCast(Range{
                .first = cut(groups, thread, pool.threads),
                .last = cut(groups, thread + 1, pool.threads),
                .epoch = epoch,
            }), .monotonic);
        }
        active += 1;
    }
    @atomicStore(u32, &pool.active, active, .monotonic);
}

fn cut(groups: u32, part: u32, parts: u32) u20 {
    return @intCast(@as(u64, groups) * part / parts);
}

/// Does the op's groups until none is left to take: the own range first, then others' ends.
fn work(pool: *Pool, index: u32, self: *abi.Thread, epoch: u32) void {
    const own = pool.slot(index, self.index);
    while (take(own, @truncate(epoch), .front)) |group| runGroup(pool, index, self, group);
    while (fullest(pool, index, @truncate(epoch))) |other| {
        const group = take(other, @truncate(epoch), .back) orelse continue;
        runGroup(pool, index, self, group);
    }
}

const End = enum { front, back };

fn take(slot: *u64, epoch: u24, comptime end: End) ?u32 {
    var seen = @atomicLoad(u64, slot, .acquire);
    while (true) {
        var range: Range = @bitCast(seen);
        if (range.epoch != epoch or range.first >= range.last) return null;
        const group: u32 = if (end == .front) range.first else range.last - 1;
        if (end == .front) range.first += 1 else range.last -= 1;
        seen = @cmpxchgWeak(u64, slot, seen, @bitCast(range), .acq_rel, .acquire) orelse
            return group;
    }
}

/// The slot with most groups left, null when all are empty.
fn fullest(pool: *Pool, index: u32, epoch: u24) ?*u64 {
    var best: ?*u64 = null;
    var most: u20 = 0;
    for (0..pool.threads) |t| {
        const slot = pool.slot(index, @intCast(t));
        const range: Range = @bitCast(@atomicLoad(u64, slot, .monotonic));
        if (range.epoch != epoch or range.first >= range.last) continue;
        if (range.last - range.first > most) {
            most = range.last - range.first;
            best = slot;
        }
    }
    return best;
}

fn runGroup(pool: *Pool, index: u32, self: *abi.Thread, group: u32) void {
    // Holding a group keeps the batch alive: these are this batch's values.
    const entry = &pool.work[index];
    const begin = group * entry.group;
    const end = @min(begin + entry.group, entry.units);
    runOf(entry.op)(entry.op, pool.step, self, begin, end);
    if (@atomicRmw(u32, &entry.remaining, .Sub, 1, .seq_cst) == 1) {
        // The batch may be over by now and the word in use again: a needless wake is harmless.
        if (@atomicLoad(u32, &entry.sleepers, .seq_cst) != 0) pools.wake(&entry.remaining);
    }
}

/// Waits until the op is finished, or the batch is over.
fn awaitOp(pool: *Pool, index: u32, epoch: u32) void {
    const entry = &pool.work[index];
    var turns: u64 = @as(u64, pool.turns) * spin_inside;
    while (true) {
        const left = @atomicLoad(u32, &entry.remaining, .acquire);
        if (left == 0 or over(pool, epoch)) return;
        if (turns > 0) {
            turns -= 1;
            std.atomic.spinLoopHint();
            continue;
        }
        _ = @atomicRmw(u32, &entry.sleepers, .Add, 1, .seq_cst);
        const again = @atomicLoad(u32, &entry.remaining, .seq_cst);
        if (again != 0 and !over(pool, epoch)) pools.sleep(&entry.remaining, again);
        _ = @atomicRmw(u32, &entry.sleepers, .Sub, 1, .seq_cst);
    }
}

fn over(pool: *Pool, epoch: u32) bool {
    return @atomicLoad(u32, &pool.epoch, .acquire) != epoch;
}

/// Body of threads 1..: waits for a batch, walks its ops, waits for the next.
pub fn worker(pool: *Pool, index: u32) void {
    var self = pool.context(index);
    var seen: u32 = 0;
    while (true) {
        const epoch = awaitBatch(pool, seen);
        if (@atomicLoad(bool, &pool.stop, .acquire)) return;
        seen = epoch;
        // A stale `active` is harmless: the words of the ops carry the epoch.
        var i = @atomicLoad(u32, &pool.current, .acquire);
        const active = @atomicLoad(u32, &pool.active, .monotonic);
        while (i < active and !over(pool, epoch)) : (i += 1) {
            work(pool, i, &self, epoch);
            awaitOp(pool, i, epoch);
        }
    }
}

fn awaitBatch(pool: *Pool, seen: u32) u32 {
    var turns: u64 = @as(u64, pool.turns) * spin_between;
    while (true) {
        const epoch = @atomicLoad(u32, &pool.epoch, .acquire);
        if (epoch != seen) return epoch;
        if (turns > 0) {
            turns -= 1;
            std.atomic.spinLoopHint();
            continue;
        }
        _ = @atomicRmw(u32, &pool.sleepers, .Add, 1, .seq_cst);
        if (@atomicLoad(u32, &pool.epoch, .seq_cst) == seen) pools.sleep(&pool.epoch, seen);
        _ = @atomicRmw(u32, &pool.sleepers, .Sub, 1, .seq_cst);
    }
}
