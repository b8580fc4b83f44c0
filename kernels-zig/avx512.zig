//! Root of the avx512 library: the same sources as every other one, compiled for that ISA.
pub const isa = "avx512";

comptime {
    _ = @import("library.zig");
}
