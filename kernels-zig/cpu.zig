//! What the machine's CPU can do: one bit a feature, for choosing a library.
const std = @import("std");
const builtin = @import("builtin");

/// Bits of Host.features. TypeScript names them in core/native/select.ts.
pub const Feature = struct {
    pub const avx2: u32 = 1 << 0;
    pub const fma: u32 = 1 << 1;
    pub const f16c: u32 = 1 << 2;
    pub const bmi2: u32 = 1 << 3;
    pub const avx512: u32 = 1 << 4;
    pub const avx512vnni: u32 = 1 << 5;
    pub const avx512vbmi: u32 = 1 << 6;
    pub const avx512vbmi2: u32 = 1 << 7;
    pub const avxvnni: u32 = 1 << 8;
    pub const gfni: u32 = 1 << 9;
    pub const neon: u32 = 1 << 16;
    pub const dotprod: u32 = 1 << 17;
    pub const fp16: u32 = 1 << 18;
};

pub fn detect() u32 {
    return switch (builtin.cpu.arch) {
        .x86_64 => detectX86(),
        .aarch64 => detectArm(),
        else => 0,
    };
}

pub const Leaf = struct { a: u32, b: u32, c: u32, d: u32 };

pub fn cpuid(leaf: u32, sub: u32) Leaf {
    var a: u32 = undefined;
    var b: u32 = undefined;
    var c: u32 = undefined;
    var d: u32 = undefined;
    asm volatile ("cpuid"
        : [a] "={eax}" (a),
          [b] "={ebx}" (b),
          [c] "={ecx}" (c),
          [d] "={edx}" (d),
        : [leaf] "{eax}" (leaf),
          [sub] "{ecx}" (sub),
    );
    return .{ .a = a, .b = b, .c = c, .d = d };
}

/// Which register states the system saves (XCR0).
fn savedStates() u32 {
    return asm volatile ("xgetbv"
        : [a] "={eax}" (-> u32),
        : [c] "{ecx}" (@as(u32, 0)),
        : .{ .edx = true });
}

fn bit(word: u32, n: u5, feature: u32) u32 {
    return if (word >> n & 1 == 1) feature else 0;
}

fn detectX86() u32 {
    if (cpuid(0, 0).a < 7) return 0;
    const one = cpuid(1, 0);
    // OSXSAVE and AVX, and the system saves XMM and YMM.
    if (one.c >> 27 & 1 == 0 or one.c >> 28 & 1 == 0) return 0;
    const states = savedStates();
    if (states & 0x6 != 0x6) return 0;
    const seven = cpuid(7, 0);
    var found = bit(seven.b, 5, Feature.avx2) | bit(one.c, 12, Feature.fma) |
        bit(one.c, 29, Feature.f16c) | bit(seven.b, 8, Feature.bmi2) |
        bit(seven.c, 8, Feature.gfni);
    if (seven.a >= 1) found |= bit(cpuid(7, 1).a, 4, Feature.avxvnni);
    // Masks, upper halves of ZMM0-15 and ZMM16-31 are saved too; F, DQ, CD, BW and VL together.
    const level4: u32 = 1 << 16 | 1 << 17 | 1 << 28 | 1 << 30 | 1 << 31;
    if (states & 0xe0 == 0xe0 and seven.b & level4 == level4) {
        found |= Feature.avx512 | bit(seven.c, 11, Feature.avx512vnni) |
            bit(seven.c, 1, Feature.avx512vbmi) | bit(seven.c, 6, Feature.avx512vbmi2);
    }
    return found;
}

fn detectArm() u32 {
    if (builtin.os.tag == .macos) return Feature.neon | Feature.dotprod | Feature.fp16;
    if (builtin.os.tag != .linux) return Feature.neon;
    // Bits of the kernel's AT_HWCAP: ASIMDHP 10, ASIMDDP 20.
    const capabilities: u32 = @truncate(std.c.getauxval(std.elf.AT_HWCAP));
    return Feature.neon | bit(capabilities, 20, Feature.dotprod) |
        bit(capabilities, 10, Feature.fp16);
}
