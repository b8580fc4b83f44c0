// HTTP requests to the hub: retried on cuts and 429s, redirected without leaking the token, explained.
import { WrinkleFreeError } from "../../../core/index.ts";
import type { HubEnvironment } from "./environment.ts";

const mostRedirects = 5;
const longestWait = 60_000;

/** What a request concerns, for error messages. */
export interface Subject {
  readonly repo: string;
  readonly revision: string;
  readonly file?: string;
}

/**
 * A response with status 2xx or 416 (nothing left of a range). Waits and retries on 429, 5xx and lost
 * connections, as long as Retry-After says. Throws `not_found`, `unsupported` (gated) or
 * `unavailable`, each with what to do.
 */
export async function request(
  url: string,
  environment: HubEnvironment,
  subject: Subject,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  for (let attempt = 0; ; attempt++) {
    let failure: string;
    let wait = environment.retryDelay * 2 ** attempt;
    try {
      const response = await follow(url, environment, headers);
      if (response.ok || response.status === 416) return response;
      if (response.status !== 429 && response.status < 500)
        throw refused(response, subject, environment);
      failure = `HTTP ${response.status}`;
      wait = retryAfter(response) ?? wait;
    } catch (error) {
      if (error instanceof WrinkleFreeError) throw error;
      failure = (error as Error).message;
    }
    if (attempt >= environment.retries) throw unreachable(url, failure, environment);
    await Bun.sleep(Math.min(wait, longestWait));
  }
}

/** Follows redirects by hand: the token goes to the hub's own host only. */
async function follow(
  start: string,
  environment: HubEnvironment,
  headers: Readonly<Record<string, string>>,
): Promise<Response> {
  let url = start;
  for (let hop = 0; hop <= mostRedirects; hop++) {
    const own = new URL(url).host === new URL(environment.endpoint).host;
    const authorization: Record<string, string> =
      own && environment.token ? { authorization: `Bearer ${environment.token}` } : {};
    const response = await fetch(url, {
      headers: { "user-agent": "wrinklefree", ...headers, ...authorization },
      redirect: "manual",
    });
    const location = response.headers.get("location");
    if (response.status < 300 || response.status >= 400 || location === null) return response;
    url = new URL(location, url).href;
  }
  throw new Error(`more than ${mostRedirects} redirects`);
}

/** Retry-After in milliseconds: seconds or a date. */
function retryAfter(response: Response): number | undefined {
  const header = response.headers.get("retry-after");
  if (header === null) return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

function refused(
  response: Response,
  { repo, revision, file }: Subject,
  environment: HubEnvironment,
): WrinkleFreeError {
  const what = file === undefined ? `${repo} (revision ${revision})` : `${repo}: ${file}`;
  if (response.status === 401 || response.status === 403) {
    const gated = response.headers.get("x-error-code") === "GatedRepo";
    const text = gated ? "is gated" : "is private, or does not exist";
    return new WrinkleFreeError("unsupported", `${what} ${text} (HTTP ${response.status})`, {
      hint: environment.token
        ? `Your token has no access: accept the model's terms at ${environment.endpoint}/${repo}.`
        : `Accept the terms at ${environment.endpoint}/${repo}, then set HF_TOKEN to your token.`,
    });
  }
  if (response.status === 404) {
    return new WrinkleFreeError("not_found", `${what} is not on ${environment.endpoint}`, {
      hint: "Check the spelling of owner/name, and --revision.",
    });
  }
  return new WrinkleFreeError("unavailable", `${what}: HTTP ${response.status}`);
}

function unreachable(url: string, failure: string, { retries }: HubEnvironment): WrinkleFreeError {
  const { host } = new URL(url);
  return new WrinkleFreeError(
    "unavailable",
    `${host} does not answer: ${failure} (${retries + 1} tries)`,
    {
      hint: "Check the network, HF_ENDPOINT and proxies; run the command again to go on where it stopped.",
    },
  );
}
