// Sends turns and receives answers: send, stop, regenerate, continue, edit and resend.
import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import {
  type Answer,
  type AnswerStats,
  type AssistantTurn,
  type Conversation,
  messagesOf,
  newId,
  shownAnswer,
  type TokenScore,
  type Turn,
} from "./conversation.ts";
import { connect, model, ServerError } from "./server.ts";
import { settings } from "./settings.ts";
import { ensureCurrent, find, setTurns } from "./store.ts";
import { type StreamEvent, streamChat, type Timings } from "./stream.ts";
import { notify } from "./toast.ts";

/** The answer that is being received. It changes at most once a frame. */
export interface Live {
  readonly conversation: string;
  readonly turn: string;
  readonly answer: Answer;
  /** Part of the prompt that the server has read, 0 to 1; undefined once text comes. */
  readonly progress?: number;
}

export const live: Signal<Live | undefined> = signal(undefined);
export const busy: ReadonlySignal<boolean> = computed(() => live.value !== undefined);
/** The conversation that an answer is being received in. */
export const answering: ReadonlySignal<string | undefined> = computed(
  () => live.value?.conversation,
);

let abort: AbortController | undefined;

/** Ends the answer that is being received; what came of it stays. */
export function stop(): void {
  abort?.abort();
}

export function send(text: string): void {
  if (busy.value || text.trim() === "") return;
  const conversation = ensureCurrent(text);
  const turn: Turn = { id: newId(), role: "user", text: text.trim() };
  start(conversation, [...conversation.turns, turn]);
}

/** Sends another text in place of an earlier one; what followed it is dropped and can be taken back. */
export function resend(conversation: Conversation, turnId: string, text: string): void {
  if (busy.value || text.trim() === "") return;
  const at = conversation.turns.findIndex(({ id }) => id === turnId);
  if (at < 0) return;
  if (at + 2 < conversation.turns.length) {
    const { turns } = conversation;
    notify("Later messages were dropped.", {
      label: "Undo",
      run: () => {
        stop();
        setTurns(conversation.id, turns);
      },
    });
  }
  const turn: Turn = { id: newId(), role: "user", text: text.trim() };
  start(conversation, [...conversation.turns.slice(0, at), turn]);
}

/** Asks for another answer to the last message; the earlier one is kept beside it. */
export function regenerate(conversation: Conversation): void {
  const last = conversation.turns.at(-1);
  if (busy.value || !last) return;
  if (last.role === "user") start(conversation, conversation.turns);
  else start(conversation, conversation.turns.slice(0, -1), { turn: last });
}

/** Goes on with an answer that was cut or stopped. */
export function resume(conversation: Conversation): void {
  const last = conversation.turns.at(-1);
  if (busy.value || last?.role !== "assistant") return;
  start(conversation, conversation.turns.slice(0, -1), { turn: last, from: shownAnswer(last) });
}

interface Target {
  readonly turn?: AssistantTurn;
  /** The answer to go on with. */
  readonly from?: Answer;
}

function start(conversation: Conversation, before: readonly Turn[], target: Target = {}): void {
  const { turn, from } = target;
  const kept = turn?.answers ?? [];
  const reply: AssistantTurn = {
    id: turn?.id ?? newId(),
    role: "assistant",
    answers: from ? kept : [...kept, { text: "" }],
    shown: from ? (turn?.shown ?? 0) : kept.length,
  };
  setTurns(conversation.id, [...before, reply]);
  const messages = messagesOf(conversation.system, from ? [...before, reply] : before);
  const receiver = new Receiver(conversation.id, reply, from);
  abort = new AbortController();
  const { signal: stopped } = abort;
  const { sampling, probabilities } = settings.value;
  const events = streamChat(
    {
      model: model.value?.id,
      messages,
      resume: from !== undefined,
      probabilities,
      options: sampling,
    },
    stopped,
  );
  void receiver.receive(events, stopped);
}

/** Milliseconds between saves of an answer that is still growing. */
const saveEvery = 1000;

/** Gathers an answer's events, shows them frame by frame and stores the answer. */
class Receiver {
  readonly #conversation: string;
  readonly #turn: AssistantTurn;
  readonly #start = performance.now();
  readonly #model = model.value?.id;
  readonly #tokens: TokenScore[];
  #text: string;
  #reasoning: string;
  #stats: AnswerStats | undefined;
  #firstMs: number | undefined;
  #progress: number | undefined;
  #finish: Answer["finish"];
  #scheduled = false;
  #ended = false;
  #saved = performance.now();

  constructor(conversation: string, turn: AssistantTurn, from?: Answer) {
    this.#conversation = conversation;
    this.#turn = turn;
    this.#text = from?.text ?? "";
    this.#reasoning = from?.reasoning ?? "";
    this.#tokens = [...(from?.tokens ?? [])];
    this.#show();
  }

  async receive(events: AsyncIterable<StreamEvent>, stopped: AbortSignal): Promise<void> {
    let error: string | undefined;
    try {
      for await (const event of events) this.#take(event);
      this.#finish ??= "stop";
    } catch (reason) {
      if (stopped.aborted) this.#finish = "stopped";
      else {
        this.#finish = "error";
        error = this.#explain(reason);
      }
    }
    this.#ended = true;
    live.value = undefined;
    this.#save(this.#answer(error));
  }

  #explain(reason: unknown): string {
    if (reason instanceof ServerError) {
      if (reason.status === 401 || reason.status === 503) void connect();
      return reason.message;
    }
    void connect();
    return "The server cannot be reached. Is it still running?";
  }

  #take(event: StreamEvent): void {
    if (event.type === "finish") this.#finish = event.reason;
    else if (event.type === "progress") this.#progress = event.processed / event.total;
    else if (event.type === "timings") this.#time(event.timings);
    else {
      this.#firstMs ??= performance.now() - this.#start;
      this.#progress = undefined;
      if (event.type === "reasoning") this.#reasoning += event.text;
      else {
        this.#text += event.text;
        this.#tokens.push(...event.tokens);
      }
      if (event.timings) this.#time(event.timings);
    }
    this.#schedule();
  }

  #time({ prompt_n, cache_n, predicted_n, predicted_per_second }: Timings): void {
    this.#stats = {
      prompt: prompt_n + cache_n,
      cached: cache_n,
      generated: predicted_n,
      perSecond: predicted_per_second,
      firstMs: this.#firstMs,
    };
  }

  /** One update a frame; a hidden page gets no frames, so it is updated by a timer. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const update = (): void => {
      this.#scheduled = false;
      if (!this.#ended) this.#show();
    };
    if (document.hidden) setTimeout(update, 250);
    else requestAnimationFrame(update);
  }

  #show(): void {
    const answer = this.#answer();
    live.value = {
      conversation: this.#conversation,
      turn: this.#turn.id,
      answer,
      progress: this.#progress,
    };
    const now = performance.now();
    if (now - this.#saved > saveEvery) {
      this.#saved = now;
      this.#save({ ...answer, finish: "stopped" });
    }
  }

  #answer(error?: string): Answer {
    return {
      text: this.#text,
      model: this.#model,
      finish: this.#finish,
      ...(this.#reasoning !== "" && { reasoning: this.#reasoning }),
      ...(error !== undefined && { error }),
      ...(this.#stats && { stats: this.#stats }),
      // A copy, for the page compares by identity; only where tokens were asked for.
      ...(this.#tokens.length > 0 && { tokens: this.#tokens.slice() }),
    };
  }

  #save(answer: Answer): void {
    const conversation = find(this.#conversation);
    if (!conversation) return;
    const turns = conversation.turns.map((turn) => {
      if (turn.role !== "assistant" || turn.id !== this.#turn.id) return turn;
      return { ...turn, answers: turn.answers.with(this.#turn.shown, answer) };
    });
    setTurns(this.#conversation, turns);
  }
}
