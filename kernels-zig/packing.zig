//! Packs a matrix on all threads of a pool: decode 16 rows of the file's format, pack them, next.
const std = @import("std");
const abi = @import("abi.zig");
const executor = @import("executor.zig");
const memory = @import("memory.zig");
const Pool = @import("pool.zig").Pool;

/// What the op's args hold.
const Args = struct { job: *const abi.PackJob, scratch: u64, scratch_bytes: u64, failed: *u32 };

comptime {
    std.debug.assert(@sizeOf(Args) <= abi.args_bytes);
}

/// See abi.PackJob. Returns abi.PackError.
pub fn pack(pool_address: u64, job_address: u64) callconv(.c) u32 {
    const pool: *Pool = @ptrFromInt(pool_address);
    const job: *const abi.PackJob = @ptrFromInt(job_address);
    if (job.n == 0 or job.k == 0 or job.pack == 0 or job.source == 0 or job.out == 0)
        return @intFromEnum(abi.PackError.invalid_job);
    const element: u64 = if (job.float != 0) 4 else 1;
    const bytes = if (job.unpack == 0) 0 else abi.block_rows * element * job.k;
    const scratch = if (bytes == 0) 0 else memory.alloc(bytes * pool.threads);
    if (bytes != 0 and scratch == 0) return @intFromEnum(abi.PackError.out_of_memory);
    defer memory.free(scratch, bytes * pool.threads);
    var failed: u32 = 0;
    var op: abi.Op = .{
        .run = @intFromPtr(&run),
        .units = @intFromPtr(&units),
        // Decoding and packing 16 rows takes tens of microseconds.
        .grain = 1,
        .tag = 0,
        .args = undefined,
    };
    const args: *Args = @ptrCast(&op.args);
    args.* = .{ .job = job, .scratch = scratch, .scratch_bytes = bytes, .failed = &failed };
    var step = std.mem.zeroes(abi.Step);
    executor.run(pool_address, @intFromPtr(&op), 1, @intFromPtr(&step), 0);
    return failed;
}

fn argsOf(op: *const abi.Op) *const Args {
    return @ptrCast(&op.args);
}

fn units(op: *const abi.Op, _: *const abi.Step) callconv(.c) u32 {
    return std.math.divCeil(u32, argsOf(op).job.n, abi.block_rows) catch unreachable;
}

fn run(
    op: *const abi.Op,
    _: *const abi.Step,
    thread: *const abi.Thread,
    begin: u32,
    end: u32,
) callconv(.c) void {
    const args = argsOf(op);
    const job = args.job;
    const packRows: abi.PackFn = @ptrFromInt(job.pack);
    const element: u64 = if (job.float != 0) 4 else 1;
    const total = if (job.total_rows == 0) job.n else job.total_rows;
    for (begin..end) |b| {
        const block: u32 = @intCast(b);
        const first = block * abi.block_rows;
        const rows = @min(abi.block_rows, job.n - first);
        var values = job.source + element * first * job.k;
        if (job.unpack != 0) {
            values = args.scratch + args.scratch_bytes * thread.index;
            const unpack: abi.UnpackFn = @ptrFromInt(job.unpack);
            if (unpack(job.source, job.n, job.k, first, rows, values) != 0) {
                const code = @intFromEnum(abi.PackError.invalid_code);
                @atomicStore(u32, args.failed, code, .monotonic);
                return;
            }
        }
        const source: abi.PackSource = .{ .values = values, .rows = rows, .k = job.k };
        const target = job.first_block + block * job.block_step;
        packRows(&source, target * abi.block_rows, total, job.out);
    }
}
