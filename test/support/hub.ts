// A small Hugging Face hub: listing, redirects to a second host, ranges, and the faults of real life.
import { createHash } from "node:crypto";

export interface HubFaults {
  /** Every n-th file request is answered by 429 with Retry-After: 0. */
  tooMany?: number;
  /** Bodies end after this many bytes, however long they should be. */
  cutAfter?: number;
  /** Milliseconds between pieces of `pieceBytes`. */
  delay?: number;
  ignoreRanges?: boolean;
  /** Flips a byte of the first answer for a file. */
  damageOnce?: boolean;
  /** Flips a byte of every answer. */
  damage?: boolean;
  gated?: boolean;
  requireToken?: string;
}

const commit = "0123456789abcdef0123456789abcdef01234567";
const pieceBytes = 1 << 16;

export class FakeHub {
  readonly files: ReadonlyMap<string, Uint8Array>;
  faults: HubFaults = {};
  /** Method and path of every request, with its Range. */
  readonly log: string[] = [];
  /** Authorization headers that the second host saw. */
  readonly leaked: string[] = [];
  readonly #hub: ReturnType<typeof Bun.serve>;
  readonly #store: ReturnType<typeof Bun.serve>;
  readonly #damaged = new Set<string>();
  #requests = 0;

  constructor(files: ReadonlyMap<string, Uint8Array>) {
    this.files = files;
    this.#hub = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (r) => this.#answer(r) });
    this.#store = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (r) => this.#serve(r) });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#hub.port}`;
  }

  async stop(): Promise<void> {
    await Promise.all([this.#hub.stop(true), this.#store.stop(true)]);
  }

  #answer(request: Request): Response {
    const { pathname } = new URL(request.url);
    this.log.push(`${pathname} ${request.headers.get("range") ?? ""}`.trim());
    if (this.faults.gated) {
      return new Response("{}", { status: 403, headers: { "x-error-code": "GatedRepo" } });
    }
    const token = this.faults.requireToken;
    if (token && request.headers.get("authorization") !== `Bearer ${token}`) {
      return new Response("{}", { status: 401 });
    }
    if (!pathname.includes("owner/model")) return new Response("{}", { status: 404 });
    if (pathname.includes("/revision/")) {
      return Response.json({
        _id: "1",
        id: "owner/model",
        sha: commit,
        lastModified: "2026-01-01",
      });
    }
    if (pathname.includes("/tree/")) return Response.json([...this.files].map(entryOf));
    const name = pathname.split("/").slice(5).join("/");
    this.#requests++;
    const { tooMany } = this.faults;
    if (tooMany && this.#requests % tooMany === 0) {
      return new Response("slow down", { status: 429, headers: { "retry-after": "0" } });
    }
    const location = `http://127.0.0.1:${this.#store.port}/${name}`;
    return new Response(null, { status: 302, headers: { location } });
  }

  #serve(request: Request): Response {
    const name = new URL(request.url).pathname.slice(1);
    const authorization = request.headers.get("authorization");
    if (authorization) this.leaked.push(authorization);
    const whole = this.files.get(name);
    if (!whole) return new Response("", { status: 404 });
    const range = /^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "");
    const from = range && !this.faults.ignoreRanges ? Number(range[1]) : 0;
    let bytes: Uint8Array = Uint8Array.from(whole.subarray(from));
    const { damage, damageOnce } = this.faults;
    if (damage || (damageOnce && !this.#damaged.has(name))) {
      this.#damaged.add(name);
      bytes[0] = (bytes[0] ?? 0) ^ 1;
    }
    const { cutAfter } = this.faults;
    if (cutAfter !== undefined) bytes = bytes.subarray(0, cutAfter);
    return new Response(this.#paced(bytes), { status: from > 0 ? 206 : 200 });
  }

  #paced(bytes: Uint8Array): ReadableStream<Uint8Array> {
    const { delay = 0 } = this.faults;
    let at = 0;
    return new ReadableStream({
      async pull(controller) {
        if (delay > 0) await Bun.sleep(delay);
        controller.enqueue(bytes.slice(at, at + pieceBytes));
        at += pieceBytes;
        if (at >= bytes.byteLength) controller.close();
      },
    });
  }
}

/** Large files are LFS's (sha256), small ones git's own (sha1 of the blob). */
function entryOf([path, bytes]: [string, Uint8Array]): object {
  const oid = createHash("sha1").update(`blob ${bytes.byteLength}\0`).update(bytes).digest("hex");
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const lfs =
    bytes.byteLength > 100_000
      ? { oid: sha256, size: bytes.byteLength, pointerSize: 134 }
      : undefined;
  return { type: "file", path, size: bytes.byteLength, oid, ...(lfs && { lfs }) };
}
