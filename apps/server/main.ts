// Runs the server for a person or a service: prints where it listens, exits when it is told to.
import { WrinkleFreeError } from "../../core/index.ts";
import { findModelFile } from "../manage/find.ts";
import { createRegistry, namedPlugins } from "../plugins.ts";
import { builtInModel, builtInNote } from "./built-in.ts";
import { samplingDefaults } from "./flag-list-sampling.ts";
import type { LoadOptions } from "./load.ts";
import { createLog } from "./log.ts";
import { type MetricAlias, metricAliases } from "./metrics-alias.ts";
import type { ServedModel } from "./model.ts";
import { clearProgress, terminalProgress } from "./progress.ts";
import { type RunningServer, type ServeOptions, startServer } from "./serve.ts";
import { readApiKeys, readText, type ServeFlags } from "./serve-flags.ts";
import { templateSource } from "./templates.ts";
import { version } from "./version.ts";

/** Serves until a signal comes. Throws `usage` for flags that do not fit, else what loading throws. */
export async function runServer(flags: ServeFlags): Promise<void> {
  const log = createLog({ level: flags.logLevel, format: flags.logFormat });
  const options = await serveOptions(flags);
  if (!flags.model && !flags.hfRepo) process.stdout.write(builtInNote());
  const running = startServer({ ...options, log, progress: terminalProgress() });
  const stopped = stopOnSignal(running, flags);
  process.stdout.write(`WrinkleFree ${version} on ${running.url} (loading)\n`);
  try {
    await Promise.race([running.ready, stopped]);
  } catch (error) {
    await running.stop();
    throw error;
  } finally {
    clearProgress();
  }
  for (const slot of running.state.slots) {
    if (slot.ready) log.info(describe(slot.model), "model ready");
  }
  process.stdout.write(`Ready. Try: ${curl(running.url, flags)}\n`);
  await stopped;
}

/** One request to try, as a shell takes it. */
function curl(url: string, flags: ServeFlags): string {
  const key = flags.apiKey || flags.apiKeyFile ? ` -H "Authorization: Bearer $KEY"` : "";
  const place = url.startsWith("http") ? url : `--unix-socket ${url} http://localhost`;
  const body = `{"messages":[{"role":"user","content":"Hello!"}]}`;
  return `curl ${place}/v1/chat/completions${key} -d '${body}'`;
}

function describe({ id, client }: ServedModel): Record<string, unknown> {
  const { architecture, parameters, quantization, contextLength, isa, layout, threads } =
    client.info;
  return { model: id, architecture, parameters, quantization, contextLength, isa, layout, threads };
}

async function serveOptions(flags: ServeFlags): Promise<ServeOptions> {
  const plugins = await namedPlugins(flags.plugin);
  const socket = flags.host.endsWith(".sock") ? flags.host : undefined;
  return {
    registry: await createRegistry(plugins),
    models: await modelOptions(flags, plugins),
    host: socket === undefined ? flags.host : "localhost",
    port: flags.port,
    socket,
    tls: await readTls(flags),
    apiKeys: await readApiKeys(flags),
    corsOrigins: flags.corsOrigin,
    allowedHosts: flags.allowedHost,
    parallel: flags.parallel,
    page: flags.webui,
    tags: flags.tags,
    metrics: flags.metrics,
    slots: flags.slots,
    logprobTokens: flags.logprobTokens,
    slotSavePath: flags.slotSavePath,
    metricAliases: readAliases(flags),
    cachePrompt: flags.cachePrompt,
    pingMs: flags.ssePingInterval * 1000,
    isolateCache: flags.shareCache ? false : undefined,
    strictModelNames: flags.strictModelNames,
    pooling: flags.pooling,
    maxTokens: flags.nPredict < 0 ? undefined : flags.nPredict,
    defaultSeed: flags.seed === -1 ? undefined : flags.seed,
    timeoutMs: flags.timeout ? flags.timeout * 1000 : undefined,
    sampling: samplingDefaults(flags),
    limits: { bodyBytes: flags.maxBody },
  };
}

async function modelOptions(flags: ServeFlags, plugins: readonly string[]): Promise<LoadOptions[]> {
  const named = [...(flags.model ?? []), ...hubName(flags)];
  const models = named.length > 0 ? named : [builtInModel()];
  const paths = await Promise.all(models.map((name) => findModelFile(name, plugins)));
  const given =
    flags.chatTemplateFile === undefined
      ? flags.chatTemplate
      : await readText("--chat-template-file", flags.chatTemplateFile);
  const chatTemplate = given === undefined ? undefined : templateSource(given);
  const aliases = (i: number): string[] | undefined => {
    if (models.length === 1) return flags.alias;
    const alias = flags.alias?.[i];
    return alias === undefined ? undefined : [alias];
  };
  return paths.map((model, i) => ({
    model,
    aliases: aliases(i),
    chatTemplate,
    plugins,
    contextLength: flags.ctxSize || undefined,
    threads: flags.threads !== undefined && flags.threads > 0 ? flags.threads : undefined,
    maxSequences: flags.parallel,
    maxRows: flags.batchSize,
    kvMemory: flags.kvMemory,
    cacheTypeK: flags.cacheTypeK,
    cacheTypeV: flags.cacheTypeV,
    mapped: flags.mmap,
    expertsResident: flags.expertsResident,
    isolate: flags.isolate,
    isa: flags.isa,
    layout: flags.layout,
    gemm: flags.gemm,
    engine: {
      queueLimit: flags.queue,
      maxStepMs: flags.maxStepMs,
      maxDraft: flags.draftMax,
    },
  }));
}

function hubName({ hfRepo, hfFile }: ServeFlags): string[] {
  if (hfRepo === undefined) return [];
  return [hfFile === undefined ? hfRepo : `${hfRepo}:${hfFile}`];
}

function readAliases({ metricsAlias = [] }: ServeFlags): MetricAlias[] {
  return metricsAlias.map((name) => {
    const known = metricAliases.find((alias) => alias === name);
    if (known !== undefined) return known;
    const list = metricAliases.join(" and ");
    throw new WrinkleFreeError("usage", `there are no metrics of "${name}", only of ${list}`, {
      flag: "--metrics-alias",
    });
  });
}

async function readTls(flags: ServeFlags): Promise<ServeOptions["tls"]> {
  const { sslKeyFile, sslCertFile } = flags;
  if (sslKeyFile === undefined && sslCertFile === undefined) return undefined;
  if (sslKeyFile === undefined || sslCertFile === undefined) {
    throw new WrinkleFreeError("usage", "HTTPS needs both --ssl-key-file and --ssl-cert-file", {
      flag: sslKeyFile === undefined ? "--ssl-key-file" : "--ssl-cert-file",
    });
  }
  const key = await readText("--ssl-key-file", sslKeyFile);
  return { key, cert: await readText("--ssl-cert-file", sslCertFile) };
}

/**
 * Stops the server on SIGTERM, once the answers in work are finished, and on SIGINT, at once; a
 * second signal ends the process.
 */
function stopOnSignal(
  running: RunningServer,
  { drainDelay, drainTimeout }: ServeFlags,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (code: number, drainMs = 0, noticeMs = 0): void => {
      process.once("SIGINT", () => process.exit(130));
      process.once("SIGTERM", () => process.exit(143));
      process.exitCode = code;
      running.stop(drainMs, noticeMs).then(resolve, reject);
    };
    process.once("SIGINT", () => stop(130));
    process.once("SIGTERM", () => stop(0, drainTimeout * 1000, drainDelay * 1000));
  });
}
