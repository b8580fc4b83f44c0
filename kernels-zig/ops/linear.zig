//! Linear layers: the layouts of this library.
const abi = @import("../abi.zig");

pub const entries = [_]abi.Entry{};
