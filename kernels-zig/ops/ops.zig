//! Every op of the library, in one table.
const attend = @import("attend.zig");
const elementwise = @import("elementwise.zig");
const embed = @import("embed.zig");
const experts = @import("experts.zig");
const head = @import("head.zig");
const linear = @import("linear.zig");
const norm = @import("norm.zig");
const probe = @import("probe.zig");
const rope = @import("rope.zig");
const route = @import("route.zig");
const store = @import("store.zig");
const top_k = @import("top_k.zig");
const unpack = @import("unpack.zig");

pub const entries = embed.entries ++ norm.entries ++ rope.entries ++ store.entries ++
    attend.entries ++ elementwise.entries ++ top_k.entries ++ route.entries ++ experts.entries ++
    linear.entries ++ unpack.entries ++ probe.entries ++
    head.entries;
