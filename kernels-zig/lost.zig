//! Mapped files that others truncate: reads past the new end give zeros and are counted; no SIGBUS ends us.
const std = @import("std");
const builtin = @import("builtin");

const supported = builtin.os.tag == .linux or builtin.os.tag == .macos;

/// One mapping; start 0: free.
const Region = struct { start: u64 = 0, end: u64 = 0 };
const most_regions = 64;

/// Written under `busy`; the handler reads it without: it only looks at mappings that are in use.
var regions: [most_regions]Region = @splat(.{});
var busy = std.atomic.Value(bool).init(false);
var installed = false;
var lost = std.atomic.Value(u64).init(0);
var previous: std.posix.Sigaction = undefined;

/// Bytes of mappings that were replaced by zeros since the library was loaded.
pub fn bytes() callconv(.c) u64 {
    return lost.load(.monotonic);
}

/// Guards a mapping. Past 64 at a time they are not guarded.
pub fn guard(start: u64, length: u64) void {
    if (!supported) return;
    lock();
    defer busy.store(false, .release);
    if (!installed) install();
    for (&regions) |*region| {
        if (region.start != 0) continue;
        region.end = start + length;
        @as(*volatile u64, &region.start).* = start;
        return;
    }
}

pub fn forget(start: u64) void {
    if (!supported) return;
    lock();
    defer busy.store(false, .release);
    for (&regions) |*region| {
        if (region.start == start) @as(*volatile u64, &region.start).* = 0;
    }
}

/// Whether a range lies within one guarded mapping.
pub fn guards(start: u64, end: u64) bool {
    lock();
    defer busy.store(false, .release);
    for (regions) |region| {
        if (region.start != 0 and region.start <= start and end <= region.end) return true;
    }
    return false;
}

fn lock() void {
    while (busy.swap(true, .acquire)) std.atomic.spinLoopHint();
}

fn install() void {
    installed = true;
    const action: std.posix.Sigaction = .{
        .handler = .{ .sigaction = handle },
        .mask = std.posix.sigemptyset(),
        .flags = std.posix.SA.SIGINFO | std.posix.SA.ONSTACK,
    };
    std.posix.sigaction(.BUS, &action, &previous);
}

fn handle(_: std.posix.SIG, info: *const std.posix.siginfo_t, _: ?*anyopaque) callconv(.c) void {
    const at = @intFromPtr(if (builtin.os.tag == .linux) info.fields.sigfault.addr else info.addr);
    for (&regions) |*region| {
        const start = @as(*volatile u64, &region.start).*;
        if (start == 0 or at < start or at >= region.end) continue;
        if (zero(at, region.end)) return;
    }
    // Not ours: the fault comes again, and whoever was here before handles it.
    std.posix.sigaction(.BUS, &previous, null);
}

/// Puts zeros in place of everything from the page of `at` on: all of it is past the file's end.
fn zero(at: u64, end: u64) bool {
    const start = std.mem.alignBackward(u64, at, std.heap.pageSize());
    const length = end - start;
    const result = std.c.mmap(@ptrFromInt(start), length, .{ .READ = true }, .{
        .TYPE = .PRIVATE,
        .ANONYMOUS = true,
        .FIXED = true,
    }, -1, 0);
    if (result == std.c.MAP_FAILED) return false;
    _ = lost.fetchAdd(length, .monotonic);
    return true;
}
