// Opens a model for serving: the engine in its Worker, tokenizer and template on this side.

import { type StartEngineOptions, startEngine } from "../../core/engine/client.ts";
import {
  ChatTemplate,
  createTokenizer,
  type EngineClient,
  type Registry,
  type Tokenizer,
  WrinkleFreeError,
} from "../../core/index.ts";
import { entryPoint } from "../../core/installation.ts";
import { type Model, openModel } from "../../core/model.ts";
import { openKernels } from "../../core/native/select.ts";
import type { ServedModel } from "./model.ts";
import { namedTemplates } from "./templates.ts";
import { pieceText } from "./tokens.ts";

export interface LoadOptions extends Omit<StartEngineOptions, "worker" | "isolate"> {
  /** Runs the engine in a process of its own. */
  readonly isolate?: boolean;
  /** Names it answers to, the first is shown; default: the file's own name. */
  readonly aliases?: readonly string[];
  /** Jinja source in place of the file's own template. */
  readonly chatTemplate?: string;
}

const worker = entryPoint("apps/worker.ts");
const isolated = entryPoint("apps/isolated.ts");

/** Loads a model. Throws what the loader, the tokenizer, the template and the engine throw. */
export async function loadModel(registry: Registry, options: LoadOptions): Promise<ServedModel> {
  const { aliases, chatTemplate, isolate, ...engine } = options;
  // The tokenizer reads its tables where they lie in the file, so the file stays open with it,
  // mapped by the native library: that one lives through a file cut off by others.
  openKernels(registry.kernels, { isa: options.isa });
  const file = await openModel(options.model, registry, { weightScale: options.weightScale });
  let client: EngineClient;
  let text: ReturnType<typeof openText>;
  try {
    requireTokenizer(file);
    // The Worker packs weights while this thread builds the tokenizer.
    const started = startEngine({ worker, isolate: isolate ? isolated : undefined, ...engine });
    text = await openBeside(started, () => openText(file, options));
    client = await started;
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
  const names = aliases && aliases.length > 0 ? aliases : [modelName(options.model)];
  return {
    id: names[0] ?? "",
    aliases: names,
    client,
    ...text,
    created: Math.floor(Date.now() / 1000),
    async close() {
      await client.close();
      file[Symbol.dispose]();
    },
  };
}

/** What `open` gives; where it fails, the engine that is starting is closed again first. */
async function openBeside<T>(started: Promise<EngineClient>, open: () => T): Promise<T> {
  try {
    return open();
  } catch (error) {
    await started.then(
      (client) => client.close(),
      () => {},
    );
    throw error;
  }
}

function requireTokenizer(model: Model): NonNullable<Model["tokenizer"]> {
  if (model.tokenizer) return model.tokenizer;
  throw new WrinkleFreeError("bad_file", `${model.path} has no tokenizer`, {
    file: model.path,
    hint: "Put the checkpoint's tokenizer.json beside it, or convert it with its tokenizer.",
  });
}

function openText(
  model: Model,
  options: LoadOptions,
): Pick<ServedModel, "tokenizer" | "template" | "endTokens"> {
  const tokenizer = createTokenizer(requireTokenizer(model));
  const endTokens = [...new Set([...tokenizer.endTokens, ...model.endTokens])];
  const source = options.chatTemplate ?? model.chatTemplate ?? namedTemplates.plain;
  const template = new ChatTemplate(source, {
    name: options.chatTemplate === undefined ? `${options.model}'s chat template` : "the template",
    bosToken: special(tokenizer, tokenizer.bos),
    eosToken: special(tokenizer, tokenizer.eos ?? endTokens[0]),
  });
  return { tokenizer, template, endTokens };
}

function special(tokenizer: Tokenizer, id: number | undefined): string {
  return id === undefined ? "" : pieceText(tokenizer, id);
}

/** The name under which a model is served: its file or folder without the suffix. */
export function modelName(path: string): string {
  const base = path.replace(/\/+$/, "").split("/").pop() ?? path;
  return base.replace(/\.gguf$/i, "") || "model";
}
