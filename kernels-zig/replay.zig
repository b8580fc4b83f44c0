//! Runs ops from a file in which their arrays lie too, in place: so an emulator of another CPU can
//! run the same tests. `replay FILE`; test/kernels/replay.ts writes the file.
const std = @import("std");
const abi = @import("abi.zig");
const executor = @import("executor.zig");
const packing = @import("packing.zig");
const pools = @import("pool.zig");
const ops = @import("ops/ops.zig");

pub const isa = "replay";

/// Followed by `actions` Actions, then `relocations` Relocations; offsets are from the file's start.
const Header = extern struct {
    bytes: u64,
    actions: u32,
    relocations: u32,
    threads: u32,
    reserved: u32,
    step: u64,
};

/// An op of the tape, or with `pack` set a PackJob in place of the op's arguments.
const Action = extern struct {
    op: [32]u8,
    format: [32]u8,
    unpack: [32]u8,
    pack: u64,
    code: abi.Op,
};

/// The u64 at `at` is an offset in the file that becomes an address.
const Relocation = extern struct { at: u64 };

pub fn main(init: std.process.Init.Minimal) !void {
    var arguments = init.args.iterate();
    _ = arguments.next();
    const path = arguments.next() orelse return error.Usage;
    const file = std.c.open(path, .{ .ACCMODE = .RDWR });
    if (file < 0) return error.Open;
    const end = std.c.lseek(file, 0, 2);
    const mapped = std.c.mmap(null, @intCast(end), .{ .READ = true, .WRITE = true }, .{
        .TYPE = .SHARED,
    }, file, 0);
    if (mapped == std.c.MAP_FAILED) return error.Map;
    const base: u64 = @intFromPtr(mapped);
    const header: *const Header = @ptrFromInt(base);
    if (header.bytes != @as(u64, @intCast(end))) return error.Size;
    const actions: [*]Action = @ptrFromInt(base + @sizeOf(Header));
    const relocations: [*]const Relocation = @ptrCast(@alignCast(actions + header.actions));
    for (relocations[0..header.relocations]) |relocation| {
        const word: *u64 = @ptrFromInt(base + relocation.at);
        word.* += base;
    }
    const pool = pools.create(header.threads, 1 << 20);
    defer pools.destroy(pool);
    for (actions[0..header.actions]) |*action| try act(action, pool, base + header.step);
}

fn act(action: *Action, pool: u64, step: u64) !void {
    const entry = try find(text(&action.op), text(&action.format));
    if (action.pack != 0) {
        const job: *abi.PackJob = @ptrCast(&action.code.args);
        job.pack = @intFromPtr(entry.pack.?);
        const unpack = text(&action.unpack);
        if (unpack.len != 0) job.unpack = @intFromPtr((try find("unpack", unpack)).unpack.?);
        if (packing.pack(pool, @intFromPtr(job)) != 0) return error.Pack;
        return;
    }
    action.code.run = @intFromPtr(entry.run.?);
    action.code.units = @intFromPtr(entry.units.?);
    action.code.grain = entry.grain;
    executor.run(pool, @intFromPtr(&action.code), 1, step, 0);
}

fn text(bytes: *const [32]u8) []const u8 {
    return std.mem.sliceTo(bytes, 0);
}

fn find(op: []const u8, format: []const u8) !abi.Entry {
    for (ops.entries) |entry| {
        const same = std.mem.eql(u8, op, std.mem.span(entry.op)) and
            std.mem.eql(u8, format, std.mem.span(entry.format));
        if (same) return entry;
    }
    return error.NoSuchOp;
}
