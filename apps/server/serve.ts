// Starts the HTTP server: the port opens at once, the models load behind it.
import type { Server } from "bun";
import { type Registry, WrinkleFreeError } from "../../core/index.ts";
import { Activity } from "./activity.ts";
import { createApp } from "./app.ts";
import { Connections } from "./connections.ts";
import { type LoadOptions, loadModel, modelName } from "./load.ts";
import { createLog, type Logger } from "./log.ts";
import { ModelSlot } from "./model.ts";
import { Observer } from "./observe.ts";
import type { Progress } from "./progress.ts";
import { allRoutes } from "./routes.ts";
import { defaultLimits, type ServerSettings, type ServerState } from "./state.ts";

export interface ServeOptions extends Partial<Omit<ServerSettings, "limits">> {
  readonly registry: Registry;
  readonly models: readonly LoadOptions[];
  /** 0: any free port. */
  readonly port?: number;
  /** Listens on this Unix socket and not on a port. */
  readonly socket?: string;
  readonly tls?: { readonly key: string; readonly cert: string };
  readonly limits?: Partial<ServerSettings["limits"]>;
  readonly log?: Logger;
  /** Told of the bytes of all models while they load. */
  readonly progress?: Progress;
}

export interface RunningServer {
  /** Where it is reached; a Unix socket's path for a socket. */
  readonly url: string;
  readonly state: ServerState;
  /** Settled when every model is loaded; rejects with the first failure. */
  readonly ready: Promise<void>;
  /**
   * Fails probes for `noticeMs`, then takes no more requests, waits at most `drainMs` for those in
   * work, and ends. Both are 0 by default.
   */
  stop(drainMs?: number, noticeMs?: number): Promise<void>;
}

/** Opens the port and starts to load. Throws `usage` when the port cannot be had. */
export function startServer(options: ServeOptions): RunningServer {
  const settings = completeSettings(options);
  const observer = new Observer();
  const loading = options.models.map((model) => {
    const id = model.aliases?.[0] ?? modelName(model.model);
    return new ModelSlot(id, async (progress) => {
      const told: Progress = (loaded, total) => {
        progress(loaded, total);
        tellAll();
      };
      return { ...(await loadModel(options.registry, { ...model, progress: told })), observer };
    });
  });
  const tellAll = (): void => {
    const sum = (part: "loaded" | "total"): number =>
      loading.reduce((all, slot) => all + slot.bytes[part], 0);
    options.progress?.(sum("loaded"), sum("total"));
  };
  const state: ServerState = {
    settings,
    samplers: options.registry.samplers,
    slots: loading,
    log: options.log ?? createLog({ level: "silent" }),
    observer,
    activity: new Activity(),
    connections: new Connections(settings.limits.idleSeconds),
    started: Date.now(),
  };
  const routes = allRoutes(options.registry.samplers);
  const served = settings.page ? routes : routes.filter(({ tag }) => tag !== "Page");
  const app = createApp(state, served);
  const server = listen(options, settings, (request) => app.fetch(request));
  state.connections.bind(server);
  const ready = Promise.all(loading.map((slot) => slot.loaded)).then(() => {});
  ready.catch(() => {});
  const stop = async (drainMs = 0, noticeMs = 0): Promise<void> => {
    await state.activity.announce(noticeMs);
    const until = performance.now() + drainMs;
    await state.activity.drain(drainMs);
    // An answer leaves the engine before its last bytes leave the socket.
    while (server.pendingRequests > 0 && performance.now() < until) await Bun.sleep(2);
    await server.stop(true);
    const models = await Promise.allSettled(loading.map((slot) => slot.loaded));
    for (const model of models) if (model.status === "fulfilled") await model.value.close();
  };
  return { url: address(options, server), state, ready, stop };
}

function completeSettings(options: ServeOptions): ServerSettings {
  return {
    apiKeys: options.apiKeys ?? [],
    corsOrigins: options.corsOrigins ?? [],
    allowedHosts: options.allowedHosts ?? [],
    host: options.host ?? "127.0.0.1",
    parallel: options.parallel ?? 64,
    page: options.page ?? true,
    tags: options.tags ?? [],
    metrics: options.metrics ?? false,
    metricAliases: options.metricAliases ?? [],
    cachePrompt: options.cachePrompt ?? true,
    slots: options.slots ?? true,
    slotSavePath: options.slotSavePath,
    isolateCache: options.isolateCache ?? (options.apiKeys ?? []).length > 1,
    strictModelNames: options.strictModelNames ?? false,
    pooling: options.pooling,
    maxTokens: options.maxTokens,
    defaultSeed: options.defaultSeed,
    timeoutMs: options.timeoutMs,
    logprobTokens: options.logprobTokens ?? "text",
    pingMs: options.pingMs ?? 30_000,
    sampling: options.sampling ?? {},
    limits: { ...defaultLimits, ...options.limits },
  };
}

function listen(
  options: ServeOptions,
  settings: ServerSettings,
  answer: (request: Request) => Response | Promise<Response>,
): Server<undefined> {
  // One byte more than allowed reaches our own check, which answers with an error object.
  const maxRequestBodySize = settings.limits.bodyBytes * 2 + 1024;
  const common = { fetch: answer, maxRequestBodySize, tls: options.tls };
  try {
    if (options.socket !== undefined) return Bun.serve({ ...common, unix: options.socket });
    const { host: hostname, limits } = settings;
    const idleTimeout = limits.idleSeconds;
    return Bun.serve({ ...common, hostname, port: options.port ?? 8080, idleTimeout });
  } catch (error) {
    const place = options.socket ?? `${settings.host}:${options.port ?? 8080}`;
    throw new WrinkleFreeError("unavailable", `cannot listen on ${place}: ${reason(error)}`, {
      flag: "--port",
      hint: "Another server may run there already; choose another port with --port.",
      cause: error,
    });
  }
}

function reason(error: unknown): string {
  return (error as { code?: string }).code ?? (error as Error).message;
}

function address(options: ServeOptions, server: Server<undefined>): string {
  return options.socket ?? server.url.href.replace(/\/$/, "");
}
