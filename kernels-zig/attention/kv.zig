//! Layout of one layer's part of a KV page; core/native/kv.ts has the same formulas.
const std = @import("std");
const abi = @import("../abi.zig");

pub const positions = abi.page_positions;

/// Head dimensions are rounded up to this many elements.
pub fn padded(head_dim: u32) usize {
    return std.mem.alignForward(usize, head_dim, 16);
}

/// Keys or values of all heads of one layer in one page: [kv_head][32 * padded] elements, then for
/// i8 the scales f32 [kv_head][32]. Keys are transposed, [padded][32], so that 32 positions are one
/// vector; values are [32][padded].
pub const Part = struct {
    element: usize,
    head_bytes: usize,
    bytes: usize,

    pub fn init(kv_heads: u32, head_dim: u32, kv_type: u32) Part {
        const i8_pages = kv_type == @intFromEnum(abi.KvType.i8);
        const element: usize = if (i8_pages) 1 else 2;
        const head_bytes = positions * padded(head_dim) * element;
        const scales: usize = if (i8_pages) positions * 4 else 0;
        const bytes = kv_heads * (head_bytes + scales);
        return .{
            .element = element,
            .head_bytes = head_bytes,
            .bytes = std.mem.alignForward(usize, bytes, 64),
        };
    }

    pub fn scalesAt(part: Part, kv_heads: u32, head: usize) usize {
        return kv_heads * part.head_bytes + head * positions * 4;
    }
};

/// The page that holds a block of 32 positions of a sequence.
pub fn pageOf(step: *const abi.Step, sequence: usize, block: usize) u64 {
    const pages: [*]const u32 = @ptrFromInt(step.pages);
    return pages[sequence * step.max_pages + block];
}
