//! Asks memory ahead for loops that read weights from front to back with much work at each line.
//! The core's window of instructions is full of that work, so it sees few loads ahead by itself.

/// Distance at which a line is brought to the second-level cache, and to the first: a load that
/// waits for the second holds up the products behind it.
const far = 6 << 10;
const near = 1 << 10;
/// The one distance of loops that read two streams and are bound by their products.
pub const pair = 8 << 10;

/// To be called once for each line that is read, with the line's address.
pub inline fn ahead(line: [*]const u8) void {
    @prefetch(line + far, .{ .locality = 2 });
    @prefetch(line + near, .{ .locality = 3 });
}
