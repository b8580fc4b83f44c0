//! The runtime's own functions, as TypeScript calls them.
const abi = @import("abi.zig");
const cpu = @import("cpu.zig");
const executor = @import("executor.zig");
const lost = @import("lost.zig");
const memory = @import("memory.zig");
const packing = @import("packing.zig");
const pool = @import("pool.zig");
const rope_table = @import("rope_table.zig");

var table: abi.Host = .{
    .size = @sizeOf(abi.Host),
    .features = 0,
    .pool_create = &pool.create,
    .pool_destroy = &pool.destroy,
    .run = &executor.run,
    .alloc = &memory.alloc,
    .free = &memory.free,
    .map = &memory.map,
    .unmap = &memory.unmap,
    .copy = &memory.copy,
    .pack = &packing.pack,
    .rope_table = &rope_table.fill,
    .lost_bytes = &lost.bytes,
    .release = &memory.release,
};

/// The table, with what this machine can do.
pub fn get() *const abi.Host {
    table.features = cpu.detect();
    return &table;
}
