//! The table that `wf_library()` returns: every op of this library, and the runtime's functions.
const root = @import("root");
const abi = @import("abi.zig");
const host = @import("host.zig");
const ops = @import("ops/ops.zig");

var library: abi.Library = .{
    .abi = abi.version,
    .size = @sizeOf(abi.Library),
    .name = "wrinklefree",
    .isa = root.isa,
    .entries = &ops.entries,
    .entry_count = ops.entries.len,
    .entry_size = @sizeOf(abi.Entry),
    .host = null,
};

/// The one symbol that a kernel library exports.
export fn wf_library() callconv(.c) *const abi.Library {
    library.host = host.get();
    return &library;
}
