// Where models come from and go to: the environment variables that Hugging Face's own tools obey.
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

export interface HubEnvironment {
  /** Without a slash at its end. */
  readonly endpoint: string;
  readonly token?: string;
  /** The cache's `hub` folder. */
  readonly cache: string;
  readonly offline: boolean;
  /** Milliseconds before the first retry; doubles with each. */
  readonly retryDelay: number;
  readonly retries: number;
}

type Variables = Readonly<Record<string, string | undefined>>;

/** HF_ENDPOINT, HF_TOKEN (or the token file), HF_HUB_CACHE, HF_HOME, HF_HUB_OFFLINE. */
export function hubEnvironment(variables: Variables = process.env): HubEnvironment {
  const base = variables.XDG_CACHE_HOME ?? join(variables.HOME ?? homedir(), ".cache");
  const home = variables.HF_HOME ?? join(base, "huggingface");
  const tokenFile = variables.HF_TOKEN_PATH ?? join(home, "token");
  const stored = existsSync(tokenFile) ? readFileSync(tokenFile, "utf8").trim() : undefined;
  return {
    endpoint: (variables.HF_ENDPOINT ?? "https://huggingface.co").replace(/\/+$/, ""),
    token: variables.HF_TOKEN?.trim() || stored || undefined,
    cache: variables.HF_HUB_CACHE ?? join(home, "hub"),
    offline: /^(1|true|yes|on)$/i.test(variables.HF_HUB_OFFLINE ?? ""),
    retryDelay: 1000,
    retries: 6,
  };
}
