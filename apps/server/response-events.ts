// The objects and events of /v1/responses: every event complete and numbered, as clients check them.
import type { ToolCall } from "../../core/index.ts";
import type { ChatAnswer, ChatEvent } from "./chat-run.ts";
import { sseEvent } from "./stream.ts";
import { timingsOf } from "./usage.ts";

type Item = Readonly<Record<string, unknown>>;

/** What llama.cpp adds to events when it is asked to. */
export interface ResponseExtras {
  readonly progress?: boolean;
  readonly timings?: boolean;
}

/** Makes the events of one response in their order, and the whole response at its end. */
export class ResponseEvents {
  readonly #base: Readonly<Record<string, unknown>>;
  readonly #extras: ResponseExtras;
  readonly #suffix: string;
  readonly #output: Item[] = [];
  #sequence = 0;
  #text = "";
  #call: { id: string; name: string; text: string } | undefined;
  #open: "message" | "call" | "reasoning" | undefined;

  constructor(base: Readonly<Record<string, unknown>>, extras: ResponseExtras = {}) {
    this.#base = base;
    this.#extras = extras;
    this.#suffix = String(base.id).replace(/^resp_/, "");
  }

  /** The finished response. */
  whole(answer: ChatAnswer): object {
    const output: Item[] = [];
    if (answer.reasoning !== "") output.push(this.#thought(0, answer.reasoning, "completed"));
    if (answer.content !== "") {
      output.push(this.#message(output.length, answer.content, "completed"));
    }
    for (const call of answer.calls) output.push(this.#callItem(output.length, call));
    return this.#response(output, answer);
  }

  *take(event: ChatEvent): Generator<string, void, undefined> {
    switch (event.type) {
      case "start": {
        const response = { ...this.#base, status: "in_progress", output: [], usage: null };
        yield this.#event("response.created", { response });
        yield this.#event("response.in_progress", { response });
        return;
      }
      case "progress": {
        if (!this.#extras.progress) return;
        const { processed, total, cached: cache } = event;
        const response = { ...this.#base, status: "in_progress", output: [], usage: null };
        const prompt_progress = { processed, total, cache };
        yield this.#event("response.in_progress", { response, prompt_progress });
        return;
      }
      case "text":
        yield* this.#openMessage();
        this.#text += event.text;
        yield this.#event("response.output_text.delta", {
          ...this.#place(),
          delta: event.text,
          logprobs: [],
          ...(this.#extras.timings && { timings: timingsOf(event.timings) }),
        });
        return;
      case "reasoning":
        yield* this.#openReasoning();
        this.#text += event.text;
        yield this.#event("response.reasoning_text.delta", {
          item_id: this.#id("rs"),
          output_index: this.#output.length,
          content_index: 0,
          delta: event.text,
        });
        return;
      case "call":
        yield* this.#openCall(event.id, event.name);
        return;
      case "arguments":
        if (this.#call) this.#call.text += event.text;
        yield this.#event("response.function_call_arguments.delta", {
          item_id: this.#id("fc"),
          output_index: this.#output.length,
          delta: event.text,
        });
        return;
      case "done": {
        yield* this.#close();
        const response = this.#response(this.#output, event.answer);
        const end = event.answer.finish === "length" ? "incomplete" : "completed";
        const timings = timingsOf(event.answer.completion.timings);
        yield this.#event(`response.${end}`, { response, timings });
      }
    }
  }

  #event(type: string, fields: object): string {
    return sseEvent(type, { type, sequence_number: this.#sequence++, ...fields });
  }

  #id(prefix: string, index = this.#output.length): string {
    return `${prefix}_${this.#suffix}_${index}`;
  }

  #place(): object {
    return { item_id: this.#id("msg"), output_index: this.#output.length, content_index: 0 };
  }

  #message(index: number, text: string, status: string): Item {
    const content = [{ type: "output_text", text, annotations: [], logprobs: [] }];
    return { type: "message", id: this.#id("msg", index), status, role: "assistant", content };
  }

  #thought(index: number, text: string, status: string): Item {
    const content = [{ type: "reasoning_text", text }];
    return { type: "reasoning", id: this.#id("rs", index), status, summary: [], content };
  }

  #callItem(index: number, call: ToolCall): Item {
    return {
      type: "function_call",
      id: this.#id("fc", index),
      status: "completed",
      call_id: call.id,
      name: call.function.name,
      arguments: call.function.arguments,
    };
  }

  *#openMessage(): Generator<string, void, undefined> {
    if (this.#open === "message") return;
    yield* this.#close();
    this.#open = "message";
    this.#text = "";
    const item = { ...this.#message(this.#output.length, "", "in_progress"), content: [] };
    yield this.#added(item);
    const part = { type: "output_text", text: "", annotations: [], logprobs: [] };
    yield this.#event("response.content_part.added", { ...this.#place(), part });
  }

  *#openReasoning(): Generator<string, void, undefined> {
    if (this.#open === "reasoning") return;
    yield* this.#close();
    this.#open = "reasoning";
    this.#text = "";
    yield this.#added({ ...this.#thought(this.#output.length, "", "in_progress"), content: [] });
  }

  *#openCall(id: string, name: string): Generator<string, void, undefined> {
    yield* this.#close();
    this.#open = "call";
    this.#call = { id, name, text: "" };
    const call: ToolCall = { id, type: "function", function: { name, arguments: "" } };
    yield this.#added({ ...this.#callItem(this.#output.length, call), status: "in_progress" });
  }

  #added(item: Item): string {
    return this.#event("response.output_item.added", { output_index: this.#output.length, item });
  }

  *#close(): Generator<string, void, undefined> {
    const open = this.#open;
    if (open === undefined) return;
    const index = this.#output.length;
    this.#open = undefined;
    let item: Item;
    if (open === "message") {
      item = this.#message(index, this.#text, "completed");
      const part = { type: "output_text", text: this.#text, annotations: [], logprobs: [] };
      const place = this.#place();
      yield this.#event("response.output_text.done", { ...place, text: this.#text, logprobs: [] });
      yield this.#event("response.content_part.done", { ...place, part });
    } else if (open === "reasoning") {
      item = this.#thought(index, this.#text, "completed");
      yield this.#event("response.reasoning_text.done", {
        item_id: this.#id("rs"),
        output_index: index,
        content_index: 0,
        text: this.#text,
      });
    } else {
      const { id, name, text } = this.#call ?? { id: "", name: "", text: "" };
      item = this.#callItem(index, { id, type: "function", function: { name, arguments: text } });
      yield this.#event("response.function_call_arguments.done", {
        item_id: this.#id("fc"),
        output_index: index,
        name,
        arguments: text,
      });
    }
    this.#output.push(item);
    yield this.#event("response.output_item.done", { output_index: index, item });
  }

  #response(output: readonly Item[], answer: ChatAnswer): object {
    const { promptTokens, timings } = answer.completion;
    const cut = answer.finish === "length";
    return {
      ...this.#base,
      status: cut ? "incomplete" : "completed",
      incomplete_details: cut ? { reason: "max_output_tokens" } : null,
      output,
      usage: {
        input_tokens: promptTokens,
        input_tokens_details: { cached_tokens: timings.cachedTokens },
        output_tokens: timings.generatedTokens,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: promptTokens + timings.generatedTokens,
      },
    };
  }
}
