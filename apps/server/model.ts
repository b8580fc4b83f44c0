// A model being served: its engine, tokenizer and template, and the slot that fills while it loads.
import type { ChatTemplate, EngineClient, Tokenizer } from "../../core/index.ts";
import { HttpError } from "./errors.ts";
import type { Observer } from "./observe.ts";
import type { Progress } from "./progress.ts";

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
  /** Bytes that are loaded, and all of them; 0 of 0 before they are known. */
  bytes = { loaded: 0, total: 0 };

  /** `load` starts loading, and is given what to tell of its progress. */
  constructor(id: string, load: (progress: Progress) => Promise<ServedModel>) {
    this.id = id;
    this.loaded = load((loaded, total) => {
      this.bytes = { loaded, total };
    });
    this.loaded.then(
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

  /** Share of the bytes that are loaded, 0 to 1, in hundredths. */
  get progress(): number {
    const { loaded, total } = this.bytes;
    if (this.#model) return 1;
    return total === 0 ? 0 : Math.floor((100 * loaded) / total) / 100;
  }

  /** The model. Throws 503 while it loads. */
  get model(): ServedModel {
    if (this.#model) return this.#model;
    if (this.#failure) {
      throw new HttpError("unavailable_error", "The model could not be loaded.");
    }
    throw new HttpError("unavailable_error", "Loading model", {
      extra: { progress: this.progress },
      headers: { "retry-after": "1" },
    });
  }
}
