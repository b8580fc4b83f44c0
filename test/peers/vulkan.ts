// Vulkan on the processor (Mesa's llvmpipe), brought along without installing anything.
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

const packages = ["libvulkan1", "mesa-vulkan-drivers"];

/**
 * Variables with which llama.cpp computes in f32 on its Vulkan backend: nothing rounds activations.
 * Uses what the machine has; else Debian's packages, unpacked below the temporary folder.
 */
export function vulkanVariables(): Record<string, string> {
  const exact = {
    GGML_VK_DISABLE_F16: "1",
    GGML_VK_DISABLE_INTEGER_DOT_PRODUCT: "1",
    // Without it a processor does not count as a device.
    GGML_VK_VISIBLE_DEVICES: "0",
  };
  const there = existsSync("/usr/share/vulkan/icd.d") || process.env.VK_DRIVER_FILES !== undefined;
  const place = there || Bun.which("apt-get") === null ? undefined : unpacked();
  if (place === undefined) return exact;
  const driver = join(place, "llvmpipe.json");
  return { ...exact, LD_LIBRARY_PATH: join(place, "lib"), VK_DRIVER_FILES: driver };
}

/** The folder with the driver and those of its libraries that the machine lacks. */
function unpacked(): string | undefined {
  const place = join(tmpdir(), "wrinklefree-bench", "llvmpipe");
  const driver = join(place, "llvmpipe.json");
  if (existsSync(driver)) return place;
  const lib = join(place, "lib");
  mkdirSync(lib, { recursive: true });
  const only = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"];
  const flags = ["--recurse", ...only.map((kind) => `--no-${kind}`)];
  const needed = output(["apt-cache", "depends", ...flags, ...packages], place)
    .split("\n")
    .filter((name) => /^(lib|mesa)/.test(name));
  output(["apt-get", "download", ...needed], place);
  const root = join(place, "root");
  for (const name of readdirSync(place).filter((file) => file.endsWith(".deb"))) {
    output(["dpkg", "-x", name, root], place);
  }
  if (!existsSync(root)) return undefined;
  const libraries = readdirSync(root, { recursive: true }).map(String);
  const known = output(["ldconfig", "-p"], place);
  for (const path of libraries.filter((file) => /-linux-gnu\/[^/]*\.so[^/]*$/.test(file))) {
    const name = basename(path);
    const to = join(lib, name);
    if (!known.includes(`\t${name} `) && !existsSync(to)) symlinkSync(join(root, path), to);
  }
  const library = join(lib, "libvulkan_lvp.so");
  if (!existsSync(library)) return undefined;
  const icd = { api_version: "1.1.0", library_path: library };
  writeFileSync(driver, JSON.stringify({ file_format_version: "1.0.0", ICD: icd }));
  return place;
}

function output(command: string[], cwd: string): string {
  return Bun.spawnSync(command, { cwd, stderr: "ignore" }).stdout.toString();
}
