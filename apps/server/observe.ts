// Watches generations: what runs now (for /slots) and how long things took (for /metrics).
import { Counter, Histogram, Registry } from "prom-client";
import type { Completion, Generation } from "./completion.ts";

/** One generation that runs now. */
export interface Running {
  readonly task: number;
  readonly generation: Generation;
  processed: number;
  cached: number;
  decoded: number;
}

const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
const tokens = [1, 8, 32, 128, 512, 2048, 8192, 32768];

/** The observations of all generations of one server. */
export class Observer {
  readonly registry: Registry = new Registry();
  /** Slot to generation; free slots are undefined. A slot is only a number for one that runs. */
  readonly running: (Running | undefined)[] = [];
  /** What each slot last held: prompt and generated tokens, and whose. */
  readonly last: ({ readonly model: string; readonly tokens: readonly number[] } | undefined)[] =
    [];
  /** Tokens that lookup proposed, and those that the model took. */
  readonly drafts = { proposed: 0, accepted: 0 };
  /** Most tokens of one sequence so far. */
  longest = 0;
  #task = 0;
  readonly #firstToken = this.#histogram("time_to_first_token_seconds", "Arrival to first token.");
  readonly #interToken = this.#histogram("inter_token_latency_seconds", "Token to next token.");
  readonly #request = this.#histogram("request_seconds", "Arrival to end.");
  readonly #queue = this.#histogram("queue_seconds", "Waiting before the prompt is read.");
  readonly #prefill = this.#histogram("prefill_seconds", "Reading the prompt.");
  readonly #decode = this.#histogram("decode_seconds", "First token to the last.");
  readonly #prompt = this.#histogram("prompt_tokens", "Tokens of a prompt.", tokens);
  readonly #generated = this.#histogram("generated_tokens", "Tokens of an answer.", tokens);
  readonly #finished = new Counter({
    name: "wrinklefree_requests_total",
    help: "Generations by how they ended.",
    labelNames: ["model", "reason"],
    registers: [this.registry],
  });

  #histogram(name: string, help: string, buckets: number[] = seconds): Histogram<"model"> {
    return new Histogram({
      name: `wrinklefree_${name}`,
      help,
      buckets,
      labelNames: ["model"],
      registers: [this.registry],
    });
  }

  begin(model: string, generation: Generation): Observation {
    const running: Running = {
      task: this.#task++,
      generation,
      processed: 0,
      cached: 0,
      decoded: 0,
    };
    return new Observation(running, {
      enter: () => {
        const slot = this.#freeSlot(generation.slot);
        this.running[slot] = running;
        return slot;
      },
      firstToken: (ms) => this.#firstToken.observe({ model }, ms / 1000),
      nextToken: (ms) => this.#interToken.observe({ model }, ms / 1000),
      end: (slot, completion, ms) => {
        if (slot !== undefined) this.running[slot] = undefined;
        if (slot !== undefined && completion) {
          const generated = completion.tokens.map((token) => token.token);
          this.last[slot] = { model, tokens: [...generation.prompt, ...generated] };
        }
        this.#end(model, completion, ms);
      },
    });
  }

  /** The slot that is asked for, where it is free, or the first free one. */
  #freeSlot(asked = -1): number {
    if (asked >= 0 && !this.running[asked]) return asked;
    let slot = 0;
    while (this.running[slot]) slot++;
    return slot;
  }

  #end(model: string, completion: Completion | undefined, ms: number): void {
    this.#finished.inc({ model, reason: completion?.stopType ?? "cancelled" });
    if (!completion) return;
    this.#request.observe({ model }, ms / 1000);
    const { timings } = completion;
    this.#queue.observe({ model }, timings.queueMs / 1000);
    this.#prefill.observe({ model }, timings.promptMs / 1000);
    this.#decode.observe({ model }, timings.generatedMs / 1000);
    this.drafts.proposed += timings.draftTokens ?? 0;
    this.drafts.accepted += timings.draftAccepted ?? 0;
    this.longest = Math.max(this.longest, completion.promptTokens + timings.generatedTokens);
    this.#prompt.observe({ model }, completion.promptTokens);
    this.#generated.observe({ model }, timings.generatedTokens);
  }
}

interface Sinks {
  /** Takes a slot, once the engine begins to read the prompt. */
  enter(): number;
  firstToken(ms: number): void;
  nextToken(ms: number): void;
  end(slot: number | undefined, completion: Completion | undefined, ms: number): void;
}

/** The clock of one generation. */
export class Observation {
  readonly #running: Running;
  readonly #sinks: Sinks;
  readonly #start = performance.now();
  #slot: number | undefined;
  #last = 0;
  #completion: Completion | undefined;

  constructor(running: Running, sinks: Sinks) {
    this.#running = running;
    this.#sinks = sinks;
  }

  /** llama.cpp's number of the place where it runs. */
  get slot(): number {
    return this.#slot ?? 0;
  }

  prompt(processed: number, cached: number): void {
    this.#slot ??= this.#sinks.enter();
    this.#running.processed = processed;
    this.#running.cached = cached;
  }

  token(): void {
    const now = performance.now();
    if (this.#last === 0) this.#sinks.firstToken(now - this.#start);
    else this.#sinks.nextToken(now - this.#last);
    this.#last = now;
    this.#running.decoded++;
  }

  done(completion: Completion): void {
    this.#completion = completion;
  }

  /** Always called, whether it was done or left. */
  end(): void {
    this.#sinks.end(this.#slot, this.#completion, performance.now() - this.#start);
  }
}
