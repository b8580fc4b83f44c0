// A proxy before a real server with the faults of real networks, each under its own path.

/** What became of the requests of one case. */
export interface Observed {
  tries: number;
  /** A request that the client left before the answer's end. */
  cancelled: boolean;
}

type Respond = (request: Request, number: number) => Promise<Response> | Response;

const encoder = new TextEncoder();
const status = (code: number, headers: Record<string, string> = {}): Response =>
  Response.json(
    { error: { message: `scripted ${code}`, type: "scripted", code, param: null } },
    { status: code, headers },
  );
const soon = { "retry-after": "0" };

/** Serves `/FAULT/CASE/...` by forwarding what comes after to `target`, with the fault. */
export class FaultProxy {
  readonly #server: ReturnType<typeof Bun.serve>;
  readonly #observed = new Map<string, Observed>();
  readonly #files: ReadonlyMap<string, string>;
  readonly #target: string;

  /** `files` are served as they are: what a browser starts from. */
  constructor(target: string, files: ReadonlyMap<string, string> = new Map()) {
    this.#target = target;
    this.#files = files;
    this.#server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 30,
      // Bodies that break off are meant to: nothing to print.
      error: () => status(500),
      fetch: (request) => this.#answer(request),
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  observed(fault: string, name: string): Observed {
    const key = `${fault}/${name}`;
    const known = this.#observed.get(key) ?? { tries: 0, cancelled: false };
    this.#observed.set(key, known);
    return known;
  }

  stop(): Promise<void> {
    return this.#server.stop(true);
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const file = this.#files.get(pathname);
    if (file !== undefined) {
      const type = pathname.endsWith(".js") ? "text/javascript" : "text/html";
      return new Response(file, { headers: { "content-type": type } });
    }
    const [, fault = "", name = "", ...rest] = pathname.split("/");
    const observed = this.observed(fault, name);
    const number = ++observed.tries;
    request.signal.addEventListener("abort", () => {
      observed.cancelled = true;
    });
    const body = request.method === "POST" ? await request.text() : undefined;
    const forward = (): Promise<Response> =>
      fetch(`${this.#target}/${rest.join("/")}`, {
        method: request.method,
        body,
        headers: { "content-type": "application/json" },
        signal: request.signal,
      });
    return faults[fault]?.(request, number, forward) ?? forward();
  }
}

type Fault = (
  request: Request,
  number: number,
  forward: () => Promise<Response>,
) => ReturnType<Respond>;

/** The forwarded stream, changed event by event; ends where `change` returns undefined. */
function changed(
  reply: Response,
  change: (event: string, index: number) => AsyncIterable<string | undefined>,
): Response {
  async function* body(): AsyncGenerator<Uint8Array> {
    let index = 0;
    const events = (await reply.text()).split(/(?<=\n\n)/);
    for (const event of events) {
      for await (const piece of change(event, index)) {
        if (piece === undefined) return;
        yield encoder.encode(piece);
      }
      index++;
    }
  }
  return new Response(body() as unknown as ReadableStream, { headers: reply.headers });
}

/** Breaks off in the middle of its body. */
function half(): Response {
  const body = new ReadableStream({
    async start(controller) {
      controller.enqueue(encoder.encode('{"content": "half of'));
      await Bun.sleep(5);
      controller.error(new Error("cut"));
    },
  });
  return new Response(body, { headers: { "content-type": "application/json" } });
}

const silence = (request: Request): Promise<Response> =>
  new Promise((resolve) => {
    request.signal.addEventListener("abort", () => resolve(status(499)));
  });

const faults: Record<string, Fault> = {
  unavailable: () => status(503, soon),
  "unavailable-twice": (_, number, forward) => (number <= 2 ? status(503, soon) : forward()),
  "full-once": (_, number, forward) => (number <= 1 ? status(429, soon) : forward()),
  "full-long": () => status(429, { "retry-after": "3600" }),
  "gateway-twice": (_, number, forward) => {
    const date = new Date(Date.now() - 1000).toUTCString();
    if (number > 2) return forward();
    return new Response("<h1>Bad Gateway</h1>", {
      status: number === 1 ? 502 : 504,
      headers: { "retry-after": date },
    });
  },
  broken: () => status(500),
  lost: () => status(404),
  page: () => new Response("<h1>Log in</h1>", { headers: { "content-type": "text/html" } }),
  key: (request, _, forward) =>
    request.headers.get("authorization") === "Bearer secret" ? forward() : status(401),
  silent: silence,
  "cut-twice": (_, number, forward) => (number <= 2 ? half() : forward()),
  "cut-stream": async (_request, _number, forward) =>
    changed(await forward(), async function* (event, index) {
      yield index < 2 ? event : undefined;
    }),
  "error-stream": async (_request, _number, forward) =>
    changed(await forward(), async function* (event, index) {
      const error = `data: ${JSON.stringify({ error: { message: "broken", code: 500 } })}\n\n`;
      yield index < 2 ? event : error;
      if (index >= 2) yield undefined;
    }),
  "silent-stream": async (request, _, forward) =>
    changed(await forward(), async function* (event, index) {
      if (index === 1) await silence(request);
      yield event;
    }),
  pings: async (_request, _number, forward) =>
    changed(await forward(), async function* (event) {
      for (let i = 0; i < 4; i++) {
        await Bun.sleep(200);
        yield ":\n\n";
      }
      yield event;
    }),
  bytes: async (_request, _number, forward) => {
    const whole = new Uint8Array(await (await forward()).arrayBuffer());
    async function* body(): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < whole.length; i++) {
        yield whole.subarray(i, i + 1);
        if (i % 16 === 0) await Bun.sleep(0);
      }
    }
    return new Response(body() as unknown as ReadableStream);
  },
  crlf: async (_request, _number, forward) =>
    changed(await forward(), async function* (event, index) {
      yield `: a comment\r\nid: ${index}\r\nevent: message\r\n${event.replaceAll("\n", "\r\n")}`;
    }),
};
