// The chat page at / and its assets.
import { type PageFile, pageFiles } from "../../web/bundle.ts";
import { HttpError } from "../errors.ts";
import { bare, type Route, type RouteFactory } from "../route.ts";

/**
 * What the page may do: load its own script and style, and talk to this server. No string can become
 * markup (Trusted Types), no image is fetched, no other page can frame it.
 */
const policy = [
  "default-src 'self'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const types: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
};

interface Asset {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly gzip: Uint8Array<ArrayBuffer>;
  readonly etag: string;
}

let loading: Promise<Map<string, Asset>> | undefined;

/** The files, made at the first request. */
function assets(): Promise<Map<string, Asset>> {
  loading ??= pageFiles().then((files) => new Map(files.map((file) => [file.name, asset(file)])));
  return loading;
}

function asset({ bytes }: PageFile): Asset {
  return { bytes, gzip: Bun.gzipSync(bytes), etag: `"${Bun.hash(bytes).toString(36)}"` };
}

async function answer(request: Request, name: string, cache: string): Promise<Response> {
  const file = (await assets()).get(name);
  if (!file) throw new HttpError("not_found_error", `The page has no file '${name}'.`);
  const headers: Record<string, string> = {
    "content-type": types[name.split(".").pop() ?? ""] ?? "application/octet-stream",
    "cache-control": cache,
    "content-security-policy": policy,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    etag: file.etag,
    vary: "accept-encoding",
  };
  if (request.headers.get("if-none-match") === file.etag) {
    return new Response(null, { status: 304, headers });
  }
  const packed = /\bgzip\b/.test(request.headers.get("accept-encoding") ?? "");
  if (packed) headers["content-encoding"] = "gzip";
  return new Response(packed ? file.gzip : file.bytes, { headers });
}

export const pageRoutes: RouteFactory = (): Route[] => [
  bare({
    method: "GET",
    paths: ["/"],
    tag: "Page",
    summary: "The chat page",
    public: true,
    handle: ({ request }) => answer(request, "index.html", "no-cache"),
  }),
  bare({
    method: "GET",
    paths: ["/assets/:name"],
    tag: "Page",
    summary: "A file of the chat page",
    public: true,
    // The names hold hashes of the content.
    handle: ({ request, params }) =>
      answer(request, params.name ?? "", "public, max-age=31536000, immutable"),
  }),
];
