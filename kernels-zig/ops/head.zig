//! The exact top logits of a large head from a coarse plane; see abi.args.Head for the order of ops.
const abi = @import("../abi.zig");
const float = @import("../linear/float.zig");
const plane = @import("../head/plane.zig");
const screen = @import("../head/screen.zig");
const select = @import("../head/select.zig");
const stored = @import("../linear/stored.zig");

fn entriesOf(comptime format: [*:0]const u8, comptime layout: type) [4]abi.Entry {
    const build = plane.Build(layout);
    const exact = select.Exact(layout);
    return .{
        .{
            .op = "head_columns",
            .format = format,
            .run = &build.columns,
            .units = &plane.one,
            .packed_bytes = &plane.bytes,
            .pack = &nothing,
        },
        .{
            .op = "head_pack",
            .format = format,
            .run = &build.pack,
            .units = &plane.packUnits,
            .packed_bytes = &plane.bytes,
            .pack = &nothing,
        },
        .{
            .op = "head_threshold",
            .format = format,
            .run = &exact.threshold,
            .units = &screen.rowUnits,
        },
        .{
            .op = "head_rescore",
            .format = format,
            .run = &exact.rescore,
            .units = &select.sliceUnits,
        },
    };
}

/// A head that runs on the file's own rows: "head_linear" gives all its logits.
fn storedEntries(comptime format: type) [5]abi.Entry {
    const layout = stored.Stored(format);
    const full: abi.Entry = .{
        .op = "head_linear",
        .format = format.name,
        .run = &layout.run,
        .units = &layout.units,
        .input = .f32,
    };
    return .{full} ++ entriesOf(format.name, layout);
}

/// A plane is packed by ops, not by this; an entry with packed_bytes must name one.
fn nothing(_: *const abi.PackSource, _: u32, _: u32, _: u64) callconv(.c) void {}

pub const entries = [_]abi.Entry{
    .{ .op = "head_prepare", .run = &screen.prepare, .units = &screen.rowUnits },
    .{
        .op = "head_screen",
        .run = &screen.run,
        .units = &screen.units,
        .packed_bytes = &screen.bytes,
        .pack = &nothing,
    },
    .{ .op = "head_top", .run = &select.top, .units = &screen.rowUnits },
} ++ entriesOf("f16", float.Float(.f16)) ++ entriesOf("bf16", float.Float(.bf16)) ++
    entriesOf("f32", float.Float(.f32)) ++ storedEntries(stored.Q8) ++ storedEntries(stored.Q6) ++
    storedEntries(stored.Half) ++ storedEntries(stored.Brain);
