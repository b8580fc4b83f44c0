//! Root of the generic library: the same sources as every other one, compiled for that ISA.
pub const isa = "generic";

comptime {
    _ = @import("library.zig");
}
