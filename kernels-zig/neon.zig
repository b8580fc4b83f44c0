//! Root of the neon library: the same sources as every other one, compiled for that ISA.
pub const isa = "neon";

comptime {
    _ = @import("library.zig");
}
