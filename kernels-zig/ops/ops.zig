//! Every op of the library, in one table.
const embed = @import("embed.zig");
const elementwise = @import("elementwise.zig");
const linear = @import("linear.zig");
const norm = @import("norm.zig");
const rope = @import("rope.zig");

pub const entries = embed.entries ++ norm.entries ++ rope.entries ++ elementwise.entries ++
    linear.entries;
