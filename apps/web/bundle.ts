// The chat page as files to serve: embedded in a compiled program, prebuilt in a package, or bundled from its sources.
import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import embedded from "./page/index.html";

export interface PageFile {
  /** Its name in the page's assets; "index.html" is the page itself. */
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Where `build.ts` writes the page for a package; absent in a source checkout. */
const prebuilt = fileURLToPath(new URL("./dist/", import.meta.url));

/**
 * The page and its script and style sheet, whose names hold hashes of their content. Bundling takes
 * about a tenth of a second and is only done in a source checkout. Throws what the bundler reports.
 */
export async function pageFiles(): Promise<PageFile[]> {
  const files = (await embeddedFiles()) ?? (await prebuiltFiles()) ?? (await buildPage());
  const decoder = new TextDecoder();
  return files.map((file) => {
    if (file.name !== "index.html") return file;
    return { ...file, bytes: new TextEncoder().encode(relative(decoder.decode(file.bytes))) };
  });
}

/** Bun's name for the page in a compiled program; running from sources there is no list of files. */
async function embeddedFiles(): Promise<PageFile[] | undefined> {
  const list = embedded.files;
  if (!list) return undefined;
  return Promise.all(
    list.map(async ({ path, loader }) => {
      const file = Bun.file(new URL(path, import.meta.url));
      const name = loader === "html" ? "index.html" : basename(path);
      return { name, bytes: await file.bytes() };
    }),
  );
}

async function prebuiltFiles(): Promise<PageFile[] | undefined> {
  if (!existsSync(join(prebuilt, "index.html"))) return undefined;
  return Promise.all(
    readdirSync(prebuilt).map(async (name) => ({
      name,
      bytes: await Bun.file(join(prebuilt, name)).bytes(),
    })),
  );
}

/** Bundles and minifies the page from its sources. */
export async function buildPage(): Promise<PageFile[]> {
  const { outputs } = await Bun.build({
    entrypoints: [fileURLToPath(new URL("./page/index.html", import.meta.url))],
    target: "browser",
    minify: true,
    define: { "process.env.NODE_ENV": '"production"' },
    naming: { entry: "[name].[ext]", chunk: "[name]-[hash].[ext]", asset: "[name]-[hash].[ext]" },
  });
  return Promise.all(
    outputs.map(async (output) => ({
      name: basename(output.path),
      bytes: new Uint8Array(await output.arrayBuffer()),
    })),
  );
}

/** Points the page to its assets by relative addresses, so that it works behind a path prefix. */
function relative(html: string): string {
  return html.replaceAll(/(src|href)="\.?\/([\w.-]+\.(?:js|css))"/g, '$1="assets/$2"');
}
