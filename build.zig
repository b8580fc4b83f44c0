//! Builds one kernel library per ISA from the same sources, and the files generated from abi.zig.
const std = @import("std");

const Isa = struct { name: []const u8, arch: std.Target.Cpu.Arch, features: Features };

const Features = union(enum) {
    x86: struct { model: *const std.Target.Cpu.Model, add: []const std.Target.x86.Feature },
    arm: []const std.Target.aarch64.Feature,
};

const isas = [_]Isa{
    .{ .name = "generic", .arch = .x86_64, .features = .{ .x86 = .{
        .model = &std.Target.x86.cpu.x86_64,
        .add = &.{},
    } } },
    .{ .name = "avx2", .arch = .x86_64, .features = .{ .x86 = .{
        .model = &std.Target.x86.cpu.x86_64_v3,
        .add = &.{ .avx2, .bmi2, .f16c, .fma },
    } } },
    .{ .name = "avx512", .arch = .x86_64, .features = .{ .x86 = .{
        .model = &std.Target.x86.cpu.x86_64_v4,
        .add = &.{ .avx512bw, .avx512vnni, .avx512vbmi, .avx512vbmi2, .gfni },
    } } },
    .{ .name = "generic", .arch = .aarch64, .features = .{ .arm = &.{} } },
    .{ .name = "neon", .arch = .aarch64, .features = .{ .arm = &.{ .dotprod, .fullfp16 } } },
};

pub fn build(b: *std.Build) void {
    const target = b.standardTargetOptions(.{});
    const optimize = b.option(std.builtin.OptimizeMode, "optimize", "Default ReleaseFast") orelse
        .ReleaseFast;
    for (isas) |isa| {
        if (isa.arch != target.result.cpu.arch) continue;
        const library = b.addLibrary(.{
            .name = b.fmt("wrinklefree-{s}", .{isa.name}),
            .linkage = .dynamic,
            .root_module = module(b, isa, target.result.os.tag, null, optimize),
        });
        b.installArtifact(library);
    }
    addHeader(b);
    addTests(b, optimize);
    addNeon(b, optimize);
    addInterleave(b, target, optimize);
}

/// The module kernels-zig/<isa>.zig (or `root`) compiled for an ISA.
fn module(
    b: *std.Build,
    isa: Isa,
    os: std.Target.Os.Tag,
    root: ?[]const u8,
    optimize: std.builtin.OptimizeMode,
) *std.Build.Module {
    var query: std.Target.Query = .{ .cpu_arch = isa.arch, .os_tag = os };
    switch (isa.features) {
        .x86 => |x86| {
            query.cpu_model = .{ .explicit = x86.model };
            query.cpu_features_add = std.Target.x86.featureSet(x86.add);
        },
        .arm => |add| {
            query.cpu_model = .{ .explicit = &std.Target.aarch64.cpu.generic };
            query.cpu_features_add = std.Target.aarch64.featureSet(add);
        },
    }
    if (os == .linux and root == null) {
        query.abi = .gnu;
        // Old enough for every distribution that is still supported.
        query.glibc_version = .{ .major = 2, .minor = 17, .patch = 0 };
    } else if (os == .linux) query.abi = .musl;
    return b.createModule(.{
        .root_source_file = b.path(root orelse b.fmt("kernels-zig/{s}.zig", .{isa.name})),
        .target = b.resolveTargetQuery(query),
        .optimize = optimize,
        .strip = optimize == .ReleaseFast,
        // Threads spawned inside a host process need the C library's thread set-up.
        .link_libc = true,
    });
}

/// `zig build header` writes the generated files into the source tree.
fn addHeader(b: *std.Build) void {
    const generator = b.addExecutable(.{
        .name = "header",
        .root_module = b.createModule(.{
            .root_source_file = b.path("kernels-zig/header.zig"),
            .target = b.graph.host,
            .optimize = .Debug,
        }),
    });
    const update = b.addUpdateSourceFiles();
    const outputs = [_][2][]const u8{
        .{ "h", "kernels-zig/include/wrinklefree.h" },
        .{ "ts", "core/native/abi.ts" },
    };
    for (outputs) |output| {
        const run = b.addRunArtifact(generator);
        run.addArg(output[0]);
        update.addCopyFileToSource(run.captureStdOut(.{}), output[1]);
    }
    b.step("header", "Write the files generated from abi.zig").dependOn(&update.step);
}

/// `zig build test` runs the Zig unit tests compiled for each ISA that the host has.
fn addTests(b: *std.Build, optimize: std.builtin.OptimizeMode) void {
    const step = b.step("test", "Run the Zig unit tests");
    const host = b.graph.host.result;
    const mode = if (optimize == .ReleaseFast) .ReleaseSafe else optimize;
    for (isas) |isa| {
        if (isa.arch != host.cpu.arch) continue;
        const wanted = switch (isa.features) {
            .x86 => |x86| std.Target.x86.featureSet(x86.add),
            .arm => |add| std.Target.aarch64.featureSet(add),
        };
        if (!host.cpu.features.isSuperSetOf(wanted)) continue;
        const tests = b.addTest(.{
            .name = b.fmt("test-{s}", .{isa.name}),
            .root_module = module(b, isa, host.os.tag, "kernels-zig/test.zig", mode),
        });
        step.dependOn(&b.addRunArtifact(tests).step);
    }
}

/// `zig build test-neon` makes zig-out/bin/replay-<isa>, aarch64 programs that run single ops.
fn addNeon(b: *std.Build, optimize: std.builtin.OptimizeMode) void {
    const step = b.step("test-neon", "Build the aarch64 programs that run single ops");
    for (isas) |isa| {
        if (isa.arch != .aarch64) continue;
        const program = b.addExecutable(.{
            .name = b.fmt("replay-{s}", .{isa.name}),
            .root_module = module(b, isa, .linux, "kernels-zig/replay.zig", optimize),
        });
        step.dependOn(&b.addInstallArtifact(program, .{}).step);
    }
}

/// `zig build interleave` makes zig-out/bin/interleave-<isa>, which time look-ups beside products.
fn addInterleave(
    b: *std.Build,
    target: std.Build.ResolvedTarget,
    optimize: std.builtin.OptimizeMode,
) void {
    const step = b.step("interleave", "Build the programs that time look-ups beside products");
    for (isas) |isa| {
        if (target.result.cpu.arch != .x86_64 or isa.arch != .x86_64) continue;
        if (std.mem.eql(u8, isa.name, "generic")) continue;
        const root = module(b, isa, .linux, "bench/kernels/interleave.zig", optimize);
        root.addImport("dot", module(b, isa, .linux, "kernels-zig/linear/dot.zig", optimize));
        const program = b.addExecutable(.{
            .name = b.fmt("interleave-{s}", .{isa.name}),
            .root_module = root,
        });
        step.dependOn(&b.addInstallArtifact(program, .{}).step);
    }
}
