//! Runs the ops on arrays that end at a forbidden page, in odd sizes: what reads or writes past an
//! end crashes; what writes before a beginning, or between rows, is seen.
const std = @import("std");
const abi = @import("abi.zig");
const executor = @import("executor.zig");
const kv = @import("attention/kv.zig");
const ops = @import("ops/ops.zig");
const pools = @import("pool.zig");
const spans = @import("attention/span.zig");
const linux = std.os.linux;

const page = 4096;
/// What lies before an array and between rows.
const filler: u8 = 0xa5;

/// An array whose last byte is the last one of a page, with a forbidden page after it.
pub fn Guarded(comptime T: type) type {
    return struct {
        const Self = @This();
        memory: []align(page) u8,
        items: []T,

        pub fn init(count: usize) !Self {
            const bytes = count * @sizeOf(T);
            const size = std.mem.alignForward(usize, @max(bytes, 1), page);
            const memory = try std.posix.mmap(
                null,
                size + page,
                .{ .READ = true, .WRITE = true },
                .{ .TYPE = .PRIVATE, .ANONYMOUS = true },
                -1,
                0,
            );
            const result = linux.mprotect(memory.ptr + size, page, .{});
            if (linux.errno(result) != .SUCCESS) return error.Protect;
            @memset(memory[0..size], filler);
            const start: [*]T = @ptrCast(@alignCast(memory.ptr + size - bytes));
            return .{ .memory = @alignCast(memory), .items = start[0..count] };
        }

        pub fn floats(count: usize, seed: u64) !Self {
            const self = try init(count);
            var random = std.Random.DefaultPrng.init(seed);
            for (self.items) |*item| item.* = @floatCast(random.random().floatNorm(f32));
            return self;
        }

        pub fn address(self: Self) u64 {
            return @intFromPtr(self.items.ptr);
        }

        /// Checks that nothing before the array changed.
        pub fn deinit(self: Self) void {
            const before = @intFromPtr(self.items.ptr) - @intFromPtr(self.memory.ptr);
            for (self.memory[0..before]) |byte| std.debug.assert(byte == filler);
            std.posix.munmap(self.memory);
        }
    };
}

/// A step of one sequence whose arrays are guarded too.
pub const Step = struct {
    header: abi.Step,
    arrays: [6]Guarded(u32),

    pub fn init(rows: u32, position: u32, pages: u32) !Step {
        const sizes = [6]usize{ rows, rows, rows, 2, pages, 1 };
        var arrays: [6]Guarded(u32) = undefined;
        for (&arrays, sizes) |*array, size| array.* = try Guarded(u32).init(size);
        for (0..rows) |r| {
            arrays[0].items[r] = @intCast(r % 3);
            arrays[1].items[r] = position + @as(u32, @intCast(r));
            arrays[2].items[r] = 0;
        }
        arrays[3].items[0] = 0;
        arrays[3].items[1] = rows;
        for (arrays[4].items, 0..) |*p, i| p.* = @intCast(pages - 1 - i);
        arrays[5].items[0] = rows - 1;
        return .{ .arrays = arrays, .header = .{
            .rows = rows,
            .sequences = 1,
            .logit_rows = 1,
            .max_pages = pages,
            .tokens = arrays[0].address(),
            .positions = arrays[1].address(),
            .row_sequence = arrays[2].address(),
            .sequence_rows = arrays[3].address(),
            .pages = arrays[4].address(),
            .logit_index = arrays[5].address(),
        } };
    }

    pub fn deinit(step: Step) void {
        for (step.arrays) |array| array.deinit();
    }
};

/// Whether an entry of the table was run by a test.
pub var seen: [ops.entries.len]bool = @splat(false);

/// The entry of an op and format; from here on it counts as tested.
pub fn find(name: []const u8, format: []const u8) !abi.Entry {
    for (ops.entries, 0..) |entry, i| {
        if (!std.mem.eql(u8, std.mem.span(entry.op), name)) continue;
        if (!std.mem.eql(u8, std.mem.span(entry.format), format)) continue;
        seen[i] = true;
        return entry;
    }
    return error.NoSuchOp;
}

pub fn run(name: []const u8, args: anytype, step: *const Step, pool: u64) !void {
    try runFormat(name, "", args, step, pool);
}

pub fn runFormat(
    name: []const u8,
    format: []const u8,
    args: anytype,
    step: *const Step,
    pool: u64,
) !void {
    const entry = try find(name, format);
    var op: abi.Op = .{
        .run = @intFromPtr(entry.run.?),
        .units = @intFromPtr(entry.units.?),
        .grain = entry.grain,
        .tag = 0,
        .args = @splat(0),
    };
    const bytes = std.mem.asBytes(&args);
    @memcpy(op.args[0..bytes.len], bytes);
    executor.run(pool, @intFromPtr(&op), 1, @intFromPtr(&step.header), 0);
}

test "norm and elementwise stay inside their arrays" {
    const pool = pools.create(2, 1 << 20);
    defer pools.destroy(pool);
    for ([_]u32{ 1, 7, 16, 17, 33, 100 }) |columns| {
        const rows = 3;
        const step = try Step.init(rows, 0, 1);
        defer step.deinit();
        const x = try Guarded(f32).floats(rows * columns, columns);
        defer x.deinit();
        const weight = try Guarded(f32).floats(columns, 1);
        defer weight.deinit();
        const out = try Guarded(f32).init(rows * columns);
        defer out.deinit();
        const q = try Guarded(i8).init(rows * columns);
        defer q.deinit();
        const scales = try Guarded(abi.RowScale).init(rows);
        defer scales.deinit();
        var norm = std.mem.zeroes(abi.args.Norm);
        norm.in = x.address();
        norm.weight = weight.address();
        norm.q = q.address();
        norm.q_scale = scales.address();
        norm.in_stride = columns;
        norm.q_stride = columns;
        norm.columns = columns;
        norm.groups = 1;
        norm.epsilon = 1e-6;
        try run("norm", norm, &step, pool);
        norm.out = out.address();
        norm.out_stride = columns;
        try run("norm", norm, &step, pool);
        var pair = std.mem.zeroes(abi.args.Elementwise);
        pair.a = x.address();
        pair.b = out.address();
        pair.out = out.address();
        pair.a_stride = columns;
        pair.b_stride = columns;
        pair.out_stride = columns;
        pair.columns = columns;
        for (0..5) |kind| {
            pair.kind = @intCast(kind);
            for (0..5) |activation| {
                pair.activation = @intCast(activation);
                try run("elementwise", pair, &step, pool);
            }
        }
        var top = std.mem.zeroes(abi.args.TopK);
        const ids = try Guarded(u32).init(columns);
        defer ids.deinit();
        const values = try Guarded(f32).init(columns);
        defer values.deinit();
        const stats = try Guarded(f32).init(2);
        defer stats.deinit();
        top.logits = x.address() + (rows - 1) * columns * 4;
        top.ids = ids.address();
        top.values = values.address();
        top.stats = stats.address();
        top.stride = columns;
        top.columns = columns;
        top.k = columns;
        try run("top_k", top, &step, pool);
    }
}

test "embed stays inside the table" {
    const pool = pools.create(1, 1 << 20);
    defer pools.destroy(pool);
    const Case = struct { format: abi.EmbedFormat, columns: u32, row_bytes: u32 };
    for ([_]Case{
        .{ .format = .f32, .columns = 7, .row_bytes = 28 },
        .{ .format = .f16, .columns = 33, .row_bytes = 66 },
        .{ .format = .bf16, .columns = 33, .row_bytes = 66 },
        .{ .format = .q8_0, .columns = 64, .row_bytes = 68 },
        .{ .format = .q6_k, .columns = 256, .row_bytes = 210 },
    }) |case| {
        const step = try Step.init(3, 0, 1);
        defer step.deinit();
        const table = try Guarded(u8).init(3 * case.row_bytes);
        defer table.deinit();
        const out = try Guarded(f32).init(3 * case.columns);
        defer out.deinit();
        try run("embed", abi.args.Embed{
            .table = table.address(),
            .row_bytes = case.row_bytes,
            .out = out.address(),
            .columns = case.columns,
            .out_stride = case.columns,
            .format = @intFromEnum(case.format),
            .scale = 1,
        }, &step, pool);
    }
}

const Shape = struct { heads: u32, kv_heads: u32, head_dim: u32, kv_type: abi.KvType };

test "store, rope and attend stay inside their arrays" {
    const pool = pools.create(2, 1 << 20);
    defer pools.destroy(pool);
    for ([_]Shape{
        .{ .heads = 4, .kv_heads = 2, .head_dim = 20, .kv_type = .f16 },
        .{ .heads = 3, .kv_heads = 3, .head_dim = 16, .kv_type = .i8 },
        .{ .heads = 9, .kv_heads = 1, .head_dim = 100, .kv_type = .f16 },
    }) |shape| {
        // Through the first span, into the second, and one row at its end.
        var position: u32 = 0;
        const pages = 9;
        const kv_type: u32 = @intFromEnum(shape.kv_type);
        const part = kv.Part.init(shape.kv_heads, shape.head_dim, kv_type).bytes;
        const arena = try Guarded(u8).init(pages * 2 * part);
        defer arena.deinit();
        for ([_]u32{ 5, 128, 20, 1, 134 }) |rows| {
            try attendRows(shape, rows, position, pages, 2 * part, arena.address(), pool);
            position += rows;
        }
    }
}

fn attendRows(
    shape: Shape,
    rows: u32,
    position: u32,
    pages: u32,
    page_bytes: u64,
    arena: u64,
    pool: u64,
) !void {
    const step = try Step.init(rows, position, pages);
    defer step.deinit();
    const width = shape.heads * shape.head_dim;
    const kv_width = shape.kv_heads * shape.head_dim;
    const q = try Guarded(f32).floats(rows * width, 1);
    defer q.deinit();
    const k = try Guarded(f32).floats(rows * kv_width, 2);
    defer k.deinit();
    const v = try Guarded(f32).floats(rows * kv_width, 3);
    defer v.deinit();
    const out = try Guarded(f32).init(rows * width);
    defer out.deinit();
    const floats = 16 * shape.heads * 3 * spans.stateFloats(shape.head_dim);
    const partials = try Guarded(f32).init(floats);
    defer partials.deinit();
    const table = try Guarded(f32).floats((position + rows) * shape.head_dim, 4);
    defer table.deinit();
    var rope = std.mem.zeroes(abi.args.Rope);
    rope.q = q.address();
    rope.k = k.address();
    rope.table = table.address();
    rope.q_stride = width;
    rope.k_stride = kv_width;
    rope.heads_q = shape.heads;
    rope.heads_k = shape.kv_heads;
    rope.head_dim = shape.head_dim;
    rope.dimensions = shape.head_dim;
    try run("rope", rope, &step, pool);
    var store = std.mem.zeroes(abi.args.Store);
    store.k = k.address();
    store.v = v.address();
    store.kv = arena;
    store.page_bytes = page_bytes;
    store.k_stride = kv_width;
    store.v_stride = kv_width;
    store.kv_heads = shape.kv_heads;
    store.head_dim = shape.head_dim;
    store.kv_type_k = @intFromEnum(shape.kv_type);
    store.kv_type_v = store.kv_type_k;
    try run("store", store, &step, pool);
    var attend = std.mem.zeroes(abi.args.Attend);
    attend.q = q.address();
    attend.out = out.address();
    attend.kv = arena;
    attend.page_bytes = page_bytes;
    attend.partials = partials.address();
    attend.partials_bytes = partials.items.len * 4;
    attend.q_stride = width;
    attend.out_stride = width;
    attend.heads = shape.heads;
    attend.kv_heads = shape.kv_heads;
    attend.head_dim = shape.head_dim;
    attend.kv_type_k = store.kv_type_k;
    attend.kv_type_v = store.kv_type_k;
    attend.scale = 0.2;
    for ([_]u32{ 0, 1 }) |combined| {
        attend.combined = combined;
        try run("attend", attend, &step, pool);
        try run("attend_combine", attend, &step, pool);
    }
    for (out.items) |value| try std.testing.expect(std.math.isFinite(value));
}
