// The project's own kernel libraries, one an instruction set; the last that fits the CPU is used.
import { definePlugin, type Kernel } from "../../core/index.ts";

const needs: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  x64: {
    generic: [],
    avx2: ["avx2", "fma", "f16c", "bmi2"],
    avx512: ["avx2", "fma", "f16c", "bmi2", "avx512", "avx512vnni", "avx512vbmi", "avx512vbmi2"],
  },
  arm64: { generic: [], neon: ["neon", "dotprod", "fp16"] },
};

function fileName(isa: string): string {
  if (process.platform === "win32") return `../bin/wrinklefree-${isa}.dll`;
  return `libwrinklefree-${isa}.${process.platform === "darwin" ? "dylib" : "so"}`;
}

const kernels: Kernel[] = Object.entries(needs[process.arch] ?? {}).map(([isa, features]) => ({
  name: `cpu-${isa}`,
  library: new URL(`../../zig-out/lib/${fileName(isa)}`, import.meta.url),
  needs: features,
}));

export default definePlugin({ name: "kernels-cpu", kernels });
