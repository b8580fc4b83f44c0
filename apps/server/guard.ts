// Who may call: API keys, and the Host and Origin checks that keep web pages away from a local server.
import { createHash, timingSafeEqual } from "node:crypto";
import { HttpError } from "./errors.ts";
import type { ServerSettings } from "./state.ts";

/** The keys that a request carries, as Bearer and as X-Api-Key. */
function givenKeys(request: Request): (string | undefined)[] {
  const bearer = /^Bearer\s+(.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  return [bearer, request.headers.get("x-api-key") ?? undefined];
}

/** A name of the caller that does not tell its key; undefined without one. */
export function tenantOf(request: Request): string | undefined {
  const key = givenKeys(request).find((key) => key !== undefined);
  return key && createHash("sha256").update(key).digest("base64url").slice(0, 22);
}

/** Throws 401 unless the request carries one of the keys, as Bearer or X-Api-Key. */
export function checkKey(settings: ServerSettings, request: Request): void {
  if (settings.apiKeys.length === 0) return;
  const given = givenKeys(request);
  let known = false;
  // Every key is compared in full, so that the time tells nothing about which one was close.
  for (const key of given) {
    for (const own of settings.apiKeys) known = (key !== undefined && same(key, own)) || known;
  }
  if (!known) {
    throw new HttpError("authentication_error", "Invalid API Key", {
      headers: { "www-authenticate": "Bearer" },
    });
  }
}

function same(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

const loopback = /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/i;

/**
 * Refuses web pages: a foreign Host on a loopback address is DNS rebinding, a foreign Origin is
 * another site's script, and a Sec-Fetch-Site another site's image or form, which may reach what is
 * `open` only. Programs send none of them. Throws 403.
 */
export function checkOrigin(settings: ServerSettings, request: Request, open = false): void {
  const origin = request.headers.get("origin");
  const host = request.headers.get("host") ?? "";
  if (loopback.test(settings.host) && !hostAllowed(settings, hostName(host))) {
    throw new HttpError(
      "permission_error",
      `Host '${host}' is not served here; start the server with --allowed-host to allow it.`,
    );
  }
  if (!origin) {
    const foreign = request.headers.get("sec-fetch-site") === "cross-site";
    if (!foreign || open || settings.corsOrigins.includes("*")) return;
    throw new HttpError("permission_error", "Pages of other sites may not call this server.");
  }
  if (originAllowed(settings, origin)) return;
  if (sameSite(origin, host)) return;
  throw new HttpError(
    "permission_error",
    `Origin '${origin}' may not call this server; start it with --cors-origin to allow it.`,
  );
}

function hostName(host: string): string {
  return host.startsWith("[") ? host.slice(0, host.indexOf("]") + 1) : (host.split(":")[0] ?? "");
}

function hostAllowed(settings: ServerSettings, name: string): boolean {
  if (name === "" || loopback.test(name) || name === settings.host) return true;
  return settings.allowedHosts.some((allowed) => allowed === "*" || allowed === name);
}

function originAllowed(settings: ServerSettings, origin: string): boolean {
  return settings.corsOrigins.some((allowed) => allowed === "*" || allowed === origin);
}

function sameSite(origin: string, host: string): boolean {
  try {
    return new URL(origin).host === host;
  } catch {
    return false;
  }
}

/** CORS headers for an allowed origin; none otherwise. */
export function corsHeaders(settings: ServerSettings, request: Request): Record<string, string> {
  const origin = request.headers.get("origin");
  if (!origin || !originAllowed(settings, origin)) return {};
  return {
    "access-control-allow-origin": origin,
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": "x-request-id",
    vary: "origin",
  };
}

/** Answers a browser's question whether it may call. */
export function preflight(settings: ServerSettings, request: Request): Response {
  const cors = corsHeaders(settings, request);
  if (!cors["access-control-allow-origin"]) return new Response(null, { status: 204 });
  return new Response(null, {
    status: 200,
    headers: {
      ...cors,
      "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
      "access-control-allow-headers": "*, Authorization",
      "access-control-max-age": "600",
    },
  });
}
