// The project's own kernel libraries, one an instruction set; the last that fits the CPU is used.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { definePlugin, installed, type Kernel } from "../../core/index.ts";

const needs: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  x64: {
    generic: [],
    avx2: ["avx2", "fma", "f16c", "bmi2"],
    avx512: [
      ...["avx2", "fma", "f16c", "bmi2", "gfni"],
      ...["avx512", "avx512vnni", "avx512vbmi", "avx512vbmi2"],
    ],
  },
  arm64: { generic: [], neon: ["neon", "dotprod", "fp16"] },
};

const windows = process.platform === "win32";

function fileName(isa: string): string {
  if (windows) return `wrinklefree-${isa}.dll`;
  return `libwrinklefree-${isa}.${process.platform === "darwin" ? "dylib" : "so"}`;
}

/** Where `zig build` puts the libraries of a checkout, and an executable those that it carries. */
const built = installed(`zig-out/${windows ? "bin" : "lib"}`);

/** Path of a library: built here, else in the prebuilt package of this platform. */
function libraryPath(isa: string): string {
  const local = join(built, fileName(isa));
  if (existsSync(local)) return local;
  const name = `@wrinklefree/kernels-${process.platform}-${process.arch}/lib/${fileName(isa)}`;
  try {
    return Bun.resolveSync(name, import.meta.dir);
  } catch {
    return local;
  }
}

const kernels: Kernel[] = Object.entries(needs[process.arch] ?? {}).map(([isa, features]) => ({
  name: `cpu-${isa}`,
  library: libraryPath(isa),
  needs: features,
}));

export default definePlugin({ name: "kernels-cpu", kernels });
