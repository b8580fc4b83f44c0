// Servers with one fault each: a real one behind a proxy that does a single thing wrong.
type Body = { prompt: string; stream?: boolean } & Record<string, unknown>;
type Forward = (body: Body, signal: AbortSignal) => Promise<Response>;
type Fault = (body: Body, forward: Forward, signal: AbortSignal) => Promise<Response>;

export interface Faulty extends Disposable {
  readonly url: string;
}

/** Passes everything on to `upstream`; completions go through `fault`. */
function proxy(upstream: string, fault: Fault): Faulty {
  const server = Bun.serve({
    port: 0,
    idleTimeout: 120,
    async fetch(request) {
      const path = new URL(request.url).pathname;
      if (request.method !== "POST") return copy(await fetch(upstream + path));
      const forward: Forward = async (body, signal) =>
        copy(await fetch(upstream + path, { method: "POST", body: JSON.stringify(body), signal }));
      return fault((await request.json()) as Body, forward, request.signal);
    },
  });
  return { url: server.url.href, [Symbol.dispose]: () => void server.stop(true) };
}

/** The body is decoded already: its old length and encoding must not be passed on. */
function copy(response: Response): Response {
  const type = response.headers.get("content-type") ?? "text/plain";
  return new Response(response.body, {
    status: response.status,
    headers: { "content-type": type },
  });
}

/** Computes every prompt anew. */
export const withoutCache = (upstream: string): Faulty =>
  proxy(upstream, (body, forward, signal) => forward({ ...body, cache_prompt: false }, signal));

/** Keeps only the end of a prompt that is too long, and says nothing. */
export const truncating = (upstream: string, words: number): Faulty =>
  proxy(upstream, (body, forward, signal) =>
    forward({ ...body, prompt: body.prompt.split(" ").slice(-words).join(" ") }, signal),
  );

/** Gives the answers of two requests that meet to each other. */
export function withCrossTalk(upstream: string): Faulty {
  let waiting: { own: Response; take(other: Response): void } | undefined;
  return proxy(upstream, async (body, forward, signal) => {
    const own = await forward(body, signal);
    if (body.stream) return own;
    const partner = waiting;
    if (partner) {
      waiting = undefined;
      partner.take(own);
      return partner.own;
    }
    const { promise, resolve } = Promise.withResolvers<Response>();
    const entry = { own, take: resolve };
    waiting = entry;
    const alone = Bun.sleep(50).then(() => {
      // Who took our answer gives us another: it is on its way.
      if (waiting !== entry) return promise;
      waiting = undefined;
      return own;
    });
    return Promise.race([promise, alone]);
  });
}

/** Goes on computing answers whose readers have left. */
export const deafToHangUps = (upstream: string): Faulty =>
  proxy(upstream, async (body, forward) => {
    const answer = await forward(body, new AbortController().signal);
    const [shown, read] = answer.body!.tee();
    // The server may end before these answers do.
    new Response(read).text().catch(() => {});
    return new Response(shown, answer);
  });

/** Loses a fixed part of the requests when several come at once. */
export function losing(upstream: string): Faulty {
  let running = 0;
  return proxy(upstream, async (body, forward, signal) => {
    running++;
    try {
      if (running > 4) return new Response('{"error":"busy"}', { status: 503 });
      await Bun.sleep(5);
      return await forward(body, signal);
    } finally {
      running--;
    }
  });
}
