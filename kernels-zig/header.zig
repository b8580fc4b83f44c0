//! Writes the C header or core/native/abi.ts from abi.zig, by reflection: `header h` or `header ts`.
const std = @import("std");
const abi = @import("abi.zig");
const Writer = std.Io.Writer;

pub fn main(init: std.process.Init) !void {
    const arguments = try init.minimal.args.toSlice(init.arena.allocator());
    if (arguments.len != 2) return error.Usage;
    var buffer: [4096]u8 = undefined;
    var file = std.Io.File.stdout().writer(init.io, &buffer);
    const w = &file.interface;
    if (std.mem.eql(u8, arguments[1], "h")) try writeHeader(w) else try writeTypeScript(w);
    try w.flush();
}

fn isLayout(comptime T: type) bool {
    const info = @typeInfo(T);
    return info == .@"struct" and info.@"struct".layout == .@"extern";
}

fn isFunction(comptime T: type) bool {
    const info = @typeInfo(T);
    return info == .pointer and @typeInfo(info.pointer.child) == .@"fn";
}

/// Calls `emit(w, name, value)` for every public declaration of abi.zig, those of `args` included.
fn forEach(w: *Writer, comptime emit: anytype) !void {
    @setEvalBranchQuota(100000);
    inline for (@typeInfo(abi).@"struct".decls) |decl| {
        const value = @field(abi, decl.name);
        if (@TypeOf(value) == type and value == abi.args) {
            inline for (@typeInfo(abi.args).@"struct".decls) |inner| {
                try emit(w, inner.name, @field(abi.args, inner.name));
            }
        } else try emit(w, decl.name, value);
    }
}

// TypeScript

fn writeTypeScript(w: *Writer) !void {
    try w.writeAll(
        \\// Generated from kernels-zig/abi.zig by `zig build header`: layouts and constants of native code.
        \\
        \\
    );
    try forEach(w, typeScriptConstant);
    try w.writeAll("\n");
    try forEach(w, typeScriptEnum);
    try w.writeAll("export const layouts = {\n");
    try forEach(w, typeScriptLayout);
    try w.writeAll("} as const;\n");
}

fn typeScriptConstant(w: *Writer, comptime name: []const u8, comptime value: anytype) !void {
    if (@TypeOf(value) == type) return;
    try w.print("export const {s} = {d};\n", .{ comptime camel(name), value });
}

fn typeScriptEnum(w: *Writer, comptime name: []const u8, comptime value: anytype) !void {
    if (@TypeOf(value) != type or @typeInfo(value) != .@"enum") return;
    try w.print("export const {s} = {{\n", .{name});
    inline for (@typeInfo(value).@"enum".fields) |field| {
        try w.print("  {s}: {d},\n", .{ comptime camel(field.name), field.value });
    }
    try w.writeAll("} as const;\n\n");
}

fn typeScriptLayout(w: *Writer, comptime name: []const u8, comptime value: anytype) !void {
    if (@TypeOf(value) != type) return;
    if (comptime !isLayout(value)) return;
    try w.print("  {s}: {{\n    size: {d},\n    fields: {{\n", .{ name, @sizeOf(value) });
    inline for (@typeInfo(value).@"struct".fields) |field| {
        try w.print("      {s}: {{ offset: {d}, bytes: {d}, type: \"{s}\" }},\n", .{
            comptime camel(field.name),      @offsetOf(value, field.name),
            @as(usize, @sizeOf(field.type)), comptime typeScriptType(field.type),
        });
    }
    try w.writeAll("    },\n  },\n");
}

fn typeScriptType(comptime T: type) []const u8 {
    return switch (@typeInfo(T)) {
        .pointer, .optional => "u64",
        .@"enum" => "u32",
        .array => "bytes",
        else => @typeName(T),
    };
}

fn camel(comptime name: []const u8) []const u8 {
    comptime {
        var out: []const u8 = "";
        var up = false;
        for (name) |c| {
            if (c == '_') {
                up = true;
            } else {
                out = out ++ &[_]u8{if (up) std.ascii.toUpper(c) else c};
                up = false;
            }
        }
        return out;
    }
}

// C

fn writeHeader(w: *Writer) !void {
    try w.writeAll(
        \\// Generated from kernels-zig/abi.zig by `zig build header`: what a kernel library includes.
        \\#ifndef WRINKLEFREE_H
        \\#define WRINKLEFREE_H
        \\#include <stdint.h>
        \\
        \\
    );
    try forEach(w, cConstant);
    try forEach(w, cForward);
    try w.writeAll("\n");
    try forEach(w, cFunction);
    try forEach(w, cStruct);
    try w.writeAll(
        \\
        \\#ifdef __cplusplus
        \\extern "C"
        \\#endif
        \\const wf_library_t *wf_library(void);
        \\#endif
        \\
    );
}

fn cConstant(w: *Writer, comptime name: []const u8, comptime value: anytype) !void {
    const upper = comptime snake(name, true);
    if (@TypeOf(value) != type) return w.print("#define WF_{s} {d}u\n", .{ upper, value });
    if (@typeInfo(value) != .@"enum") return;
    inline for (@typeInfo(value).@"enum".fields) |field| {
        const member = comptime snake(field.name, true);
        try w.print("#define WF_{s}_{s} {d}u\n", .{ upper, member, field.value });
    }
}

fn cForward(w: *Writer, comptime name: []const u8, comptime value: anytype) !void {
    if (@TypeOf(value) != type) return;
    if (comptime !isLayout(value)) return;
    const lower = comptime snake(name, false);
    try w.print("typedef struct wf_{s} wf_{s}_t;\n", .{ lower, lower });
}

fn cFunction(w: *Writer, comptime name: []const u8, comptime value: anytype) !void {
    if (@TypeOf(value) != type) return;
    if (comptime !isFunction(value)) return;
    try w.print("typedef {s};\n", .{comptime cDeclaration(value, "wf_" ++ snake(name, false))});
}

fn cStruct(w: *Writer, comptime name: []const u8, comptime value: anytype) !void {
    if (@TypeOf(value) != type) return;
    if (comptime !isLayout(value)) return;
    try w.print("\nstruct wf_{s} {{\n", .{comptime snake(name, false)});
    inline for (@typeInfo(value).@"struct".fields) |field| {
        try w.print("    {s};\n", .{comptime cDeclaration(field.type, cName(field.name))});
    }
    try w.writeAll("};\n");
}

/// A C declaration of `name` with the type T.
fn cDeclaration(comptime T: type, comptime name: []const u8) []const u8 {
    comptime {
        switch (@typeInfo(T)) {
            .optional => |o| return cDeclaration(o.child, name),
            .array => |a| {
                return std.fmt.comptimePrint("uint8_t {s}[{d}]", .{ name, a.len });
            },
            .pointer => |p| {
                const info = @typeInfo(p.child);
                if (info == .@"fn") {
                    const result = info.@"fn".return_type.?;
                    var out: []const u8 = cDeclaration(result, "(*" ++ name ++ ")(");
                    if (info.@"fn".params.len == 0) out = out ++ "void";
                    for (info.@"fn".params, 0..) |param, i| {
                        if (i > 0) out = out ++ ", ";
                        out = out ++ cType(param.type.?);
                    }
                    return out ++ ")";
                }
                return cType(T) ++ name;
            },
            .void => return "void " ++ name,
            else => return cType(T) ++ " " ++ name,
        }
    }
}

/// Field names that are C keywords get an underscore.
fn cName(comptime name: []const u8) []const u8 {
    return if (std.mem.eql(u8, name, "float")) name ++ "_" else name;
}

fn cType(comptime T: type) []const u8 {
    return switch (@typeInfo(T)) {
        .int => |i| std.fmt.comptimePrint("{s}int{d}_t", .{
            if (i.signedness == .unsigned) "u" else "",
            i.bits,
        }),
        .float => |f| if (f.bits == 32) "float" else "double",
        .@"enum" => "uint32_t",
        .pointer => |p| switch (@typeInfo(p.child)) {
            .int => "const char *",
            else => "const wf_" ++ snake(baseName(p.child), false) ++ "_t *",
        },
        .optional => |o| cType(o.child),
        else => @compileError("no C type for " ++ @typeName(T)),
    };
}

fn baseName(comptime T: type) []const u8 {
    const full = @typeName(T);
    return full[std.mem.lastIndexOfScalar(u8, full, '.').? + 1 ..];
}

/// PagePositions or page_positions as page_positions or PAGE_POSITIONS.
fn snake(comptime name: []const u8, comptime upper: bool) []const u8 {
    comptime {
        var out: []const u8 = "";
        for (name, 0..) |c, i| {
            const starts = std.ascii.isUpper(c) and i > 0 and !std.ascii.isUpper(name[i - 1]);
            if (starts) out = out ++ "_";
            out = out ++ &[_]u8{if (upper) std.ascii.toUpper(c) else std.ascii.toLower(c)};
        }
        return out;
    }
}
