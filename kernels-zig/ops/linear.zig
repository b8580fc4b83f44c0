//! Linear layers: the layouts that weights are packed to, and what runs on each.
const abi = @import("../abi.zig");
const dot = @import("../linear/dot.zig");
const float = @import("../linear/float.zig");
const raw = @import("../linear/raw.zig");
const t2 = @import("../linear/t2.zig");
const t5 = @import("../linear/t5.zig");
const Ternary = @import("../linear/ternary.zig").Ternary;

fn ternary(comptime layout: type, priority: u32) abi.Entry {
    return entry(layout.name, Ternary(layout), .i8_row, priority);
}

/// The same layout with many rows as table look-ups beside products: another `linear` to choose.
fn hybrid(comptime layout: type) abi.Entry {
    var own = ternary(layout, 0);
    const path = Ternary(layout).Entry(.hybrid);
    own.op = "linear_hybrid";
    own.run = &path.run;
    own.units = &path.units;
    return own;
}

const hybrids = if (dot.kind == .vnni) [_]abi.Entry{ hybrid(t2), hybrid(t5) } else [_]abi.Entry{};

fn entry(
    comptime format: [*:0]const u8,
    comptime layout: type,
    input: abi.Input,
    priority: u32,
) abi.Entry {
    return .{
        .op = "linear",
        .format = format,
        .run = &layout.run,
        .units = &layout.units,
        .packed_bytes = &layout.packedBytes,
        .pack = &layout.pack,
        .input = input,
        .priority = priority,
        .grain = 1,
    };
}

pub const entries = [_]abi.Entry{
    ternary(t2, 20),
    // A fifth fewer bytes; worth it where a byte shuffle decodes them.
    ternary(t5, if (dot.has_byte_permute) 30 else 10),
    // No pack: its weights are the file's own bytes.
    .{ .op = "linear", .format = "i2_s", .run = &raw.run, .units = &raw.units, .input = .i8_row },
    entry("f32", float.Float(.f32), .f32, 10),
    entry("f16", float.Float(.f16), .f32, 10),
    entry("bf16", float.Float(.bf16), .f32, 10),
} ++ hybrids;
