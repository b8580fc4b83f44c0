// Runs the terminal chat: opens the model or the server, then talks or answers a pipe.
import { type TObject, Type } from "@sinclair/typebox";
import { samplingSchema, WrinkleFreeError } from "../../core/index.ts";
import { findModelFile } from "../manage/find.ts";
import { createRegistry, namedPlugins } from "../plugins.ts";
import { builtInModel } from "../server/built-in.ts";
import { loadModel } from "../server/load.ts";
import { clearProgress, terminalProgress } from "../server/progress.ts";
import { type Backend, localBackend, remoteBackend } from "./backend.ts";
import type { ChatFlags } from "./chat-flags.ts";
import { Session } from "./session.ts";
import { runTerminal } from "./terminal.ts";

/** Talks until the person leaves, or answers standard input when it is a pipe. */
export async function runChat(flags: ChatFlags): Promise<void> {
  if (flags.url !== undefined && flags.model !== undefined) {
    throw new WrinkleFreeError("usage", "give either --model or --url", { flag: "--url" });
  }
  const plugins = await namedPlugins(flags.plugin);
  const registry = await createRegistry(plugins);
  const schema = settingsSchema(samplingSchema(registry.samplers));
  const backend = await openBackend(flags, registry, plugins);
  try {
    const session = new Session(backend, schema, { system: flags.system });
    if (flags.nPredict !== undefined) session.settings.max_tokens = flags.nPredict;
    if (flags.seed !== undefined) session.settings.seed = flags.seed;
    for (const setting of flags.set ?? []) {
      const [name = "", ...value] = setting.split("=");
      session.set(name.trim(), value.join("=").trim());
    }
    if (process.stdin.isTTY) await runTerminal(session);
    else await answerPipe(session);
  } finally {
    await backend.close();
  }
}

function settingsSchema(sampling: TObject): TObject {
  return Type.Object({
    max_tokens: Type.Optional(Type.Integer({ minimum: 1 })),
    seed: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 })),
    ...sampling.properties,
  });
}

async function openBackend(
  flags: ChatFlags,
  registry: Awaited<ReturnType<typeof createRegistry>>,
  plugins: readonly string[],
): Promise<Backend> {
  if (flags.url !== undefined) return remoteBackend(flags.url, flags.apiKey);
  const quiet = !process.stderr.isTTY;
  const model =
    flags.model === undefined ? builtInModel() : await findModelFile(flags.model, plugins);
  if (flags.model === undefined && !quiet) {
    process.stderr.write("The built-in model: tern, very small, tells stories. Others: -m FILE.\n");
  }
  const loaded = await loadModel(registry, {
    model,
    plugins,
    contextLength: flags.ctxSize,
    threads: flags.threads,
    maxSequences: 1,
    progress: terminalProgress(),
  });
  clearProgress();
  return localBackend(loaded);
}

/** Answers everything that comes through standard input as one message. */
async function answerPipe(session: Session): Promise<void> {
  const text = (await Bun.stdin.text()).trim();
  if (text === "") {
    throw new WrinkleFreeError("usage", "standard input is empty", {
      hint: 'Put the message there: echo "Hello" | wrinklefree chat',
    });
  }
  session.messages.push({ role: "user", content: text });
  const abort = new AbortController();
  process.once("SIGINT", () => abort.abort());
  let first = true;
  try {
    const stream = session.backend.answer(session.conversation, session.settings, abort.signal);
    for await (const piece of stream) {
      process.stdout.write(first ? piece.trimStart() : piece);
      first = false;
    }
  } catch (error) {
    if (!abort.signal.aborted) throw error;
    process.exitCode = 130;
  }
  process.stdout.write("\n");
}
