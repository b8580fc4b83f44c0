//! Every op of the library, in one table.
const abi = @import("../abi.zig");
const linear = @import("linear.zig");

const own = [_]abi.Entry{};

pub const entries = own ++ linear.entries;
