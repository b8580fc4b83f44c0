//! How large the first-level data cache is: what a kernel keeps in it is cut to fit.
const std = @import("std");
const builtin = @import("builtin");
const cpu = @import("cpu.zig");

/// Where it cannot be asked for, and what most cores have at least.
const usual: u32 = 32 << 10;

var known: u32 = 0;

/// Whether the core has the 48 KB of newer ones, not 32.
pub fn isRoomy() bool {
    return l1Bytes() >= 48 << 10;
}

/// Bytes, asked of the core that calls first.
fn l1Bytes() u32 {
    const before = @atomicLoad(u32, &known, .monotonic);
    if (before != 0) return before;
    const found = detect();
    @atomicStore(u32, &known, found, .monotonic);
    return found;
}

/// For tests: as if the cache had that many bytes; 0 asks the core again.
pub fn assume(bytes: u32) void {
    @atomicStore(u32, &known, bytes, .monotonic);
}

fn detect() u32 {
    if (builtin.cpu.arch != .x86_64) return usual;
    // Intel's leaf 4 and AMD's 8000001D have the same form; each maker leaves the other's empty.
    if (cpu.cpuid(0, 0).a >= 4) if (dataBytes(4)) |bytes| return bytes;
    const extended = 0x8000001d;
    if (cpu.cpuid(0x80000000, 0).a >= extended) if (dataBytes(extended)) |bytes| return bytes;
    return usual;
}

/// Size of the level 1 data cache among the caches that a leaf lists.
fn dataBytes(leaf: u32) ?u32 {
    for (0..8) |i| {
        const it = cpu.cpuid(leaf, @intCast(i));
        const kind = it.a & 31;
        if (kind == 0) return null;
        if (kind != 1 or it.a >> 5 & 7 != 1) continue;
        const ways = (it.b >> 22) + 1;
        const partitions = (it.b >> 12 & 0x3ff) + 1;
        const line = (it.b & 0xfff) + 1;
        return std.math.cast(u32, @as(u64, ways) * partitions * line * (@as(u64, it.c) + 1));
    }
    return null;
}

test "the size of the first-level cache is a plausible one" {
    try std.testing.expect(l1Bytes() >= 8 << 10 and l1Bytes() <= 1 << 20);
    try std.testing.expectEqual(0, l1Bytes() % 1024);
}
