//! Memory of the runtime: anonymous memory on huge pages, and files mapped read-only.
const std = @import("std");
const builtin = @import("builtin");
const lost = @import("lost.zig");
const linux = std.os.linux;

const huge_page = 2 << 20;

/// Zeroed memory, aligned to 64 bytes at least; 0 when there is none.
pub fn alloc(bytes: u64) callconv(.c) u64 {
    if (bytes == 0 or bytes > 1 << 47) return 0;
    if (builtin.os.tag != .linux) {
        const slice = std.heap.page_allocator.alloc(u8, bytes) catch return 0;
        @memset(slice, 0);
        return @intFromPtr(slice.ptr);
    }
    if (bytes < huge_page) return mapAnonymous(rounded(bytes));
    // Huge pages need alignment: take more, give back both ends.
    const length = rounded(bytes);
    const all = mapAnonymous(length + huge_page);
    if (all == 0) return 0;
    const start = std.mem.alignForward(u64, all, huge_page);
    const tail = all + huge_page - start;
    if (start > all) _ = linux.munmap(@ptrFromInt(all), start - all);
    if (tail > 0) _ = linux.munmap(@ptrFromInt(start + length), tail);
    _ = linux.madvise(@ptrFromInt(start), bytes, linux.MADV.HUGEPAGE);
    return start;
}

fn rounded(bytes: u64) u64 {
    return std.mem.alignForward(u64, bytes, std.heap.page_size_max);
}

fn mapAnonymous(bytes: u64) u64 {
    const result = linux.mmap(null, bytes, .{ .READ = true, .WRITE = true }, .{
        .TYPE = .PRIVATE,
        .ANONYMOUS = true,
    }, -1, 0);
    return if (linux.errno(result) == .SUCCESS) result else 0;
}

pub fn free(address: u64, bytes: u64) callconv(.c) void {
    if (address == 0 or bytes == 0) return;
    if (builtin.os.tag != .linux) {
        const pointer: [*]align(std.heap.page_size_min) u8 = @ptrFromInt(address);
        return std.heap.page_allocator.free(pointer[0..bytes]);
    }
    _ = linux.munmap(@ptrFromInt(address), rounded(bytes));
}

/// Maps a regular file of exactly `bytes` bytes; returns its address or a negated errno.
pub fn map(path: [*:0]const u8, bytes: u64) callconv(.c) i64 {
    if (builtin.os.tag == .windows) return -38;
    const file = std.c.open(path, .{ .ACCMODE = .RDONLY, .CLOEXEC = true });
    if (file < 0) return negated();
    defer _ = std.c.close(file);
    // The size may have changed since the caller looked: a mapping past the end would kill us.
    const end = std.c.lseek(file, 0, 2);
    if (end < 0) return negated();
    if (bytes == 0 or end != bytes) return -@as(i64, @intFromEnum(std.c.E.INVAL));
    const at = std.c.mmap(null, bytes, .{ .READ = true }, .{ .TYPE = .SHARED }, file, 0);
    if (at == std.c.MAP_FAILED) return negated();
    lost.guard(@intFromPtr(at), bytes);
    return @intCast(@intFromPtr(at));
}

fn negated() i64 {
    return -@as(i64, std.c._errno().*);
}

pub fn unmap(address: u64, bytes: u64) callconv(.c) void {
    if (address == 0 or builtin.os.tag == .windows) return;
    lost.forget(address);
    _ = std.c.munmap(@ptrFromInt(address), bytes);
}

/// Gives back the memory of a mapped file's whole pages in a range; nothing of other memory.
pub fn release(address: u64, bytes: u64) callconv(.c) void {
    if (builtin.os.tag != .linux or !lost.guards(address, address + bytes)) return;
    const page = std.heap.pageSize();
    const first = std.mem.alignForward(u64, address, page);
    const last = std.mem.alignBackward(u64, address + bytes, page);
    if (first >= last) return;
    _ = linux.madvise(@ptrFromInt(first), last - first, linux.MADV.DONTNEED);
}

pub fn copy(to: u64, from: u64, bytes: u64) callconv(.c) void {
    if (bytes == 0) return;
    const target: [*]u8 = @ptrFromInt(to);
    const source: [*]const u8 = @ptrFromInt(from);
    @memcpy(target[0..bytes], source[0..bytes]);
}
