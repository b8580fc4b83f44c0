// Writes the TypeScript client as JavaScript with types, for a package: bun apps/client/build.ts FOLDER
import { fileURLToPath } from "node:url";

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error("usage: bun apps/client/build.ts FOLDER");
  process.exit(2);
}
const entry = fileURLToPath(new URL("./typescript/index.ts", import.meta.url));
await Bun.build({ entrypoints: [entry], outdir: folder, target: "browser", minify: false });
const compiler = fileURLToPath(new URL("bin/tsc", import.meta.resolve("typescript/package.json")));
const flags = [
  ...["--ignoreConfig", "--declaration", "--emitDeclarationOnly", "--allowImportingTsExtensions"],
  ...["--target", "esnext", "--module", "preserve", "--lib", "esnext,dom,dom.iterable"],
  ...["--types", "", "--strict", "--outDir", folder],
];
const { exited } = Bun.spawn([process.execPath, compiler, entry, ...flags], {
  stdio: ["ignore", "inherit", "inherit"],
});
process.exitCode = await exited;
