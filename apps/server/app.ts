// Assembles the Elysia app from the routes: bodies, keys, origins, request ids, errors and the log.
import type { TObject } from "@sinclair/typebox";
import { Elysia } from "elysia";
import { BodyCheck, BodyReader } from "./body.ts";
import { errorResponse, HttpError, shuttingDown, toHttpError } from "./errors.ts";
import { checkKey, checkOrigin, corsHeaders, preflight, tenantOf } from "./guard.ts";
import type { Route } from "./route.ts";
import { normalizeSampling } from "./schema.ts";
import type { Call, ServerState } from "./state.ts";
import { type Framing, streamResponse } from "./stream.ts";

/** What Elysia hands to a handler, as far as it is used here. */
interface Context {
  readonly request: Request;
  readonly params?: Record<string, string>;
}

/** The app that answers `routes`. Nothing listens yet. */
export function createApp(server: ServerState, routes: readonly Route[]): Elysia {
  const app = new Elysia({ normalize: false, precompile: true });
  const bodies = new BodyReader(server.settings.limits);
  // Only routes registered after it are covered, so this comes first.
  app.onError(({ error, code, request }) => {
    if (code !== "NOT_FOUND") server.log.error({ err: error }, "request failed outside its route");
    const known = code === "NOT_FOUND" ? missing(routes, request) : toHttpError(error);
    return withHeaders(errorResponse(known), corsHeaders(server.settings, request));
  });
  app.options("/*", ({ request }: Context) => preflight(server.settings, request));
  for (const route of routes) {
    const check = route.body && new BodyCheck(route.body);
    const handler = (context: Context): Promise<Response> =>
      answer(server, route, check && { check, bodies }, context);
    for (const path of route.paths) app.route(route.method, path, handler, { parse: "none" });
  }
  return app as unknown as Elysia;
}

function missing(routes: readonly Route[], request: Request): HttpError {
  const { pathname } = new URL(request.url);
  const here = routes.filter((route) => route.paths.includes(pathname));
  if (here.length > 0) {
    const allow = here.map((route) => route.method).join(", ");
    const message = `${request.method} ${pathname} does not exist; it takes ${allow}.`;
    return new HttpError("invalid_request_error", message, { status: 405, headers: { allow } });
  }
  return new HttpError("not_found_error", `There is no ${request.method} ${pathname} here.`);
}

interface Reading {
  readonly check: BodyCheck<TObject>;
  readonly bodies: BodyReader;
}

async function answer(
  server: ServerState,
  route: Route,
  reading: Reading | undefined,
  context: Context,
): Promise<Response> {
  const { request } = context;
  const call = new RequestCall(server, context);
  let response: Response;
  try {
    if (server.activity.draining && !route.whileDraining) throw shuttingDown();
    checkOrigin(server.settings, request, route.public);
    if (!route.public) checkKey(server.settings, request);
    if (reading) call.body = await readBody(route, reading, request);
    server.connections.expectEngine(request);
    response = await route.handle(call as never);
  } catch (error) {
    response = failure(server, route, error, call);
  }
  if (!call.streaming) {
    server.connections.expectClient(request);
    call.log(response.status, route.public);
  }
  return withHeaders(response, {
    "x-request-id": call.id,
    ...corsHeaders(server.settings, request),
  });
}

/** The request in progress, as the routes see it. */
class RequestCall implements Call {
  readonly server: ServerState;
  readonly request: Request;
  body: Record<string, unknown> = {};
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly id: string;
  readonly abort = new AbortController();
  streaming = false;
  readonly #path: string;
  readonly #start = performance.now();
  readonly #notes: Record<string, unknown> = {};

  constructor(server: ServerState, { request, params = {} }: Context) {
    const url = new URL(request.url);
    const tenant = server.settings.isolateCache ? tenantOf(request) : undefined;
    this.server = tenant === undefined ? server : { ...server, tenant };
    this.request = request;
    this.params = params;
    this.query = url.searchParams;
    this.id = requestId(request);
    this.#path = url.pathname;
    server.activity.enter();
    request.signal.addEventListener("abort", () => this.abort.abort(), { once: true });
  }

  async stream(items: AsyncIterableIterator<string>, framing?: Framing): Promise<Response> {
    const response = await streamResponse(items, {
      framing,
      pingMs: this.#pingMs(),
      abort: this.abort,
      clientsTurn: (its) => {
        const { connections } = this.server;
        if (its) connections.expectClient(this.request);
        else connections.expectEngine(this.request);
      },
      onEnd: (error) => {
        if (error !== undefined && !this.abort.signal.aborted) {
          this.server.log.error({ id: this.id, err: error }, "stream failed");
        }
        this.log(this.abort.signal.aborted ? 499 : 200);
      },
    });
    this.streaming = true;
    return response;
  }

  /** llama.cpp's field for it, in seconds, where a request has it. */
  #pingMs(): number {
    const asked = this.body.sse_ping_interval;
    return typeof asked === "number" ? asked * 1000 : this.server.settings.pingMs;
  }

  note(fields: Readonly<Record<string, unknown>>): void {
    Object.assign(this.#notes, fields);
  }

  /** Its end: the line in the log. */
  log(status: number, quiet = false): void {
    this.server.activity.leave();
    const { method } = this.request;
    const ms = Math.round(performance.now() - this.#start);
    const line = { id: this.id, method, path: this.#path, status, ms, ...this.#notes };
    this.server.log[quiet ? "debug" : "info"](line, "request");
  }
}

async function readBody(
  route: Route,
  { check, bodies }: Reading,
  request: Request,
): Promise<Record<string, unknown>> {
  const length = request.headers.get("content-length");
  const empty = !request.body || length === "0";
  const json = route.bodyOptional && empty ? {} : await bodies.json(request);
  return check.parse(normalizeSampling(json));
}

function failure(server: ServerState, route: Route, error: unknown, call: RequestCall): Response {
  // Nobody reads this answer; 499 is what proxies log for a client that left.
  if (call.abort.signal.aborted) return new Response(null, { status: 499 });
  const known = toHttpError(error);
  if (known.status >= 500 && known.type === "server_error") {
    server.log.error({ id: call.id, err: error }, "request failed");
  }
  if (route.errorShape === "ollama") {
    return Response.json({ error: known.message }, { status: known.status });
  }
  if (route.errorShape === "anthropic") {
    const { type, message } = known.body.error;
    const body = { type: "error", error: { type: anthropicType(type), message } };
    return Response.json(body, { status: known.status, headers: known.options.headers });
  }
  return errorResponse(known);
}

function anthropicType(type: string): string {
  const names: Readonly<Record<string, string>> = {
    exceed_context_size_error: "invalid_request_error",
    server_error: "api_error",
    not_supported_error: "api_error",
    unavailable_error: "overloaded_error",
  };
  return names[type] ?? type;
}

/** The client's own id where it is harmless to repeat, or a new one. */
function requestId(request: Request): string {
  const own = request.headers.get("x-request-id");
  return own && /^[\w.:-]{1,128}$/.test(own) ? own : crypto.randomUUID();
}

function withHeaders(response: Response, headers: Readonly<Record<string, string>>): Response {
  for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
  return response;
}
