//! Root of the Zig unit tests.
pub const isa = "test";

test {
    _ = @import("cache.zig");
    _ = @import("executor.zig");
    _ = @import("memory.zig");
    _ = @import("rope_table.zig");
    _ = @import("guard_test.zig");
    _ = @import("guard_linear_test.zig");
    _ = @import("pool_test.zig");
    _ = @import("ops/ops.zig");
}
