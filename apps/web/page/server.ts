// The server behind the page: whether it is there, what it serves, and its sampling options.
import { computed, effect, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { settings } from "./settings.ts";

export interface ModelMeta {
  readonly [fact: string]: string | number | undefined;
}

export interface ServedModel {
  readonly id: string;
  readonly status: "loading" | "loaded";
  readonly meta?: ModelMeta;
}

/** A JSON schema of one option, as far as the panel looks at it. */
export interface OptionSchema {
  readonly type?: string;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly anyOf?: readonly OptionSchema[];
}

export interface SamplerOptions {
  readonly name: string;
  readonly options: Readonly<Record<string, OptionSchema>>;
}

export interface Props {
  readonly n_ctx: number;
  /** The server's own values of the options. */
  readonly defaults: Readonly<Record<string, unknown>>;
  readonly samplers: readonly SamplerOptions[];
  readonly path: string;
  readonly build: string;
  readonly name?: string;
  /** Tokens sent to each expert, by layer. */
  readonly experts: readonly (readonly number[])[];
}

export type Status = "connecting" | "loading" | "ready" | "unreachable" | "failed" | "key";

export const status: Signal<Status> = signal("connecting");
/** What the server said when it refused. */
export const refusal: Signal<string> = signal("");
export const models: Signal<readonly ServedModel[]> = signal([]);
export const props: Signal<Props | undefined> = signal(undefined);

export const model: ReadonlySignal<ServedModel | undefined> = computed(() => {
  const chosen = settings.value.model;
  return models.value.find((model) => model.id === chosen) ?? models.value[0];
});

/** An answer that was not a success, with the server's text. */
export class ServerError extends Error {
  readonly status: number;
  /** The request field that is wrong, if one is. */
  readonly param: string | undefined;

  constructor(status: number, message: string, param?: string) {
    super(message);
    this.status = status;
    this.param = param;
  }
}

/** Asks the server, with the key if there is one. Throws ServerError, or TypeError without a server. */
export async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const { apiKey } = settings.value;
  if (apiKey !== "") headers.set("authorization", `Bearer ${apiKey}`);
  const response = await fetch(path, { ...init, headers });
  if (response.ok) return response;
  const text = await response.text();
  throw errorOf(response.status, text);
}

function errorOf(code: number, text: string): ServerError {
  try {
    const { error } = JSON.parse(text);
    const param = typeof error.param === "string" ? error.param : undefined;
    return new ServerError(code, String(error.message ?? error), param);
  } catch {
    return new ServerError(code, text.slice(0, 500) || `The server answered ${code}.`);
  }
}

let timer: ReturnType<typeof setTimeout> | undefined;

/** Looks until the model is ready; called at the start and when a request could not be sent. */
export async function connect(): Promise<void> {
  clearTimeout(timer);
  try {
    const list = await (await ask("v1/models")).json();
    models.value = list.data;
    if (model.value?.status === "loading") {
      status.value = "loading";
      timer = setTimeout(connect, 200);
      // A model that failed to load stays "loading" in the list; its requests say so.
      return void (await ask("health"));
    }
    await loadProps();
    status.value = "ready";
  } catch (error) {
    refused(error);
  }
}

function refused(error: unknown): void {
  const known = error instanceof ServerError ? error : undefined;
  refusal.value = known?.message ?? "";
  if (known?.status === 401) {
    status.value = "key";
    return;
  }
  if (known?.status === 503) {
    status.value =
      /load(ed|ing)?\b/i.test(known.message) && !/could not/.test(known.message)
        ? "loading"
        : "failed";
  } else status.value = known ? "failed" : "unreachable";
  clearTimeout(timer);
  timer = setTimeout(connect, status.value === "loading" ? 200 : 2000);
}

async function loadProps(): Promise<void> {
  const name = model.value?.id;
  const query = name === undefined ? "" : `?model=${encodeURIComponent(name)}`;
  const found = await (await ask(`props${query}`)).json();
  const { n_ctx, params } = found.default_generation_settings;
  props.value = {
    n_ctx,
    defaults: params,
    samplers: readSamplers(found.samplers) ?? (await samplersOfDocument(params)),
    path: found.model_path ?? "",
    build: found.build_info ?? "",
    name: found.model_name,
    experts: Array.isArray(found.expert_tokens) ? found.expert_tokens : [],
  };
}

interface ListedSampler {
  readonly name: string;
  readonly options?: { readonly properties?: Readonly<Record<string, OptionSchema>> };
}

function readSamplers(list: readonly ListedSampler[] | undefined): SamplerOptions[] | undefined {
  if (!Array.isArray(list)) return undefined;
  return (list as ListedSampler[])
    .map(({ name, options }) => ({ name, options: options?.properties ?? {} }))
    .filter(({ options }) => Object.keys(options).length > 0);
}

/** Options of a server that does not list its samplers: those that have defaults and a schema. */
async function samplersOfDocument(defaults: object): Promise<SamplerOptions[]> {
  const document = await (await ask("openapi.json")).json();
  const { requestBody } = document.paths["/v1/chat/completions"].post;
  const fields: Record<string, OptionSchema> =
    requestBody.content["application/json"].schema.properties;
  const general = ["seed", "stop", "stream", "max_tokens", "n_predict", "n_probs"];
  const names = Object.keys(defaults).filter((name) => fields[name] && !general.includes(name));
  const options = Object.fromEntries(names.map((name) => [name, fields[name] as OptionSchema]));
  return [{ name: "sampling", options }];
}

// Another model has other properties.
effect(() => {
  const name = model.value?.id;
  if (status.peek() === "ready" && name !== undefined) void loadProps().catch(refused);
});
