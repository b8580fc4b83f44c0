// A route as data: where it is, what its body must be, and what answers it.
import type { Static, TObject } from "@sinclair/typebox";
import type { Sampler } from "../../core/index.ts";
import type { Call } from "./state.ts";

export type Method = "GET" | "POST" | "DELETE";

export interface Route {
  readonly method: Method;
  /** The first is the documented one, the others are aliases. `:name` is a parameter. */
  readonly paths: readonly string[];
  readonly summary: string;
  /** Name of the dialect, for the OpenAPI document. */
  readonly tag: string;
  /** Needs no API key. */
  readonly public?: boolean;
  /** Is answered also while the server finishes its last answers. */
  readonly whileDraining?: boolean;
  /** Schema of the JSON body; none: the body is not read. */
  readonly body?: TObject;
  /** The body may be left out. */
  readonly bodyOptional?: boolean;
  /** Shape of this dialect's errors; default OpenAI's. */
  readonly errorShape?: "openai" | "anthropic" | "ollama";
  handle(call: Call<never>): Response | Promise<Response>;
}

/** The routes of one dialect, made once the samplers, and so the body schemas, are known. */
export type RouteFactory = (samplers: readonly Sampler[]) => Route[];

/** Declares a route whose handler gets the type of its body. */
export function route<T extends TObject>(
  definition: Omit<Route, "handle" | "body"> & {
    readonly body: T;
    handle(call: Call<Static<T> & Record<string, unknown>>): Response | Promise<Response>;
  },
): Route {
  return definition as Route;
}

/** Declares a route without a body. */
export function bare(
  definition: Omit<Route, "handle" | "body"> & {
    handle(call: Call): Response | Promise<Response>;
  },
): Route {
  return definition as Route;
}
