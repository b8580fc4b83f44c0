//! Root of the avx2 library: the same sources as every other one, compiled for that ISA.
pub const isa = "avx2";

comptime {
    _ = @import("library.zig");
}
