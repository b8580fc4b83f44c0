// A model being served: its engine, tokenizer and template, and the slot that fills while it loads.
import type { ChatTemplate, EngineClient, Tokenizer } from "../../core/index.ts";
import { HttpError } from "./errors.ts";
import type { Observer } from "./observe.ts";

export interface ServedModel {
  /** The name it answers to; the first of `aliases`. */
  readonly id: string;
  readonly aliases: readonly string[];
  readonly client: EngineClient;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** Token ids that end generation: the tokenizer's and those that the model's files list. */
  readonly endTokens: readonly number[];
  readonly observer?: Observer;
  /** Unix seconds when it was loaded. */
  readonly created: number;
  /** Ends the engine and lets go of the file. */
  close(): Promise<void>;
}

/** Where a model will be once it is loaded. */
export class ModelSlot {
  readonly id: string;
  #model: ServedModel | undefined;
  #failure: unknown;
  readonly loaded: Promise<ServedModel>;

  constructor(id: string, loading: Promise<ServedModel>) {
    this.id = id;
    this.loaded = loading;
    loading.then(
      (model) => {
        this.#model = model;
      },
      (error) => {
        this.#failure = error;
      },
    );
  }

  get ready(): boolean {
    return this.#model !== undefined;
  }

  /** The model. Throws 503 while it loads. */
  get model(): ServedModel {
    if (this.#model) return this.#model;
    if (this.#failure) {
      throw new HttpError("unavailable_error", "The model could not be loaded.");
    }
    throw new HttpError("unavailable_error", "Loading model", { headers: { "retry-after": "1" } });
  }
}
