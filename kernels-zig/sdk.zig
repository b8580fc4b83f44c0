//! What a kernel library outside this project imports: the contract, and the helpers of our own ops.
pub const abi = @import("abi.zig");
/// The inner step of a ternary product on the target's instruction set.
pub const dot = @import("linear/dot.zig");
/// From sums to outputs, in the one order of float operations that gives everyone the same bits.
pub const epilogue = @import("linear/epilogue.zig");
pub const math = @import("math.zig");
pub const simd = @import("simd.zig");
