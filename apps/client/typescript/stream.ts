// An answer that is still being made: its text piece by piece, and the whole at the end.
import { ClientError, errorFrom } from "./errors.ts";
import type { Answer } from "./types.ts";
import { ChatCollector, type ChatReply, type CompletionReply, completionAnswer } from "./wire.ts";

/**
 * Iterate once: `for await (const text of stream)`. Leaving the loop early ends the request.
 * Afterwards `answer` holds the whole.
 */
export class AnswerStream implements AsyncIterable<string> {
  readonly #pieces: (done: (answer: Answer) => void) => AsyncGenerator<string>;
  #answer: Answer | undefined;

  constructor(pieces: (done: (answer: Answer) => void) => AsyncGenerator<string>) {
    this.#pieces = pieces;
  }

  [Symbol.asyncIterator](): AsyncGenerator<string> {
    return this.#pieces((answer) => {
      this.#answer = answer;
    });
  }

  /** The whole answer once the stream has come to its end; undefined before. */
  get answer(): Answer | undefined {
    return this.#answer;
  }
}

/** The pieces of a /completion stream. */
export async function* completionPieces(
  events: AsyncIterable<string>,
  done: (answer: Answer) => void,
): AsyncGenerator<string> {
  let text = "";
  for await (const data of events) {
    const reply = parse(data) as CompletionReply;
    text += reply.content;
    if (reply.content !== "") yield reply.content;
    if (reply.stop) return done(completionAnswer(reply, text));
  }
  throw cut();
}

/** The pieces of a /v1/chat/completions stream. */
export async function* chatPieces(
  events: AsyncIterable<string>,
  done: (answer: Answer) => void,
): AsyncGenerator<string> {
  const collector = new ChatCollector();
  for await (const data of events) {
    if (data === "[DONE]") return done(collector.answer());
    const text = collector.add(parse(data) as ChatReply);
    if (text !== "") yield text;
  }
  throw cut();
}

function parse(data: string): object {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch (cause) {
    throw new ClientError("server", `an event is not JSON: ${data.slice(0, 100)}`, { cause });
  }
  if (typeof value !== "object" || value === null) {
    throw new ClientError("server", `an event is not an object: ${data.slice(0, 100)}`);
  }
  if ("error" in value) throw errorFrom(value as Parameters<typeof errorFrom>[0]);
  return value;
}

function cut(): ClientError {
  return new ClientError("connection", "the stream ended before the answer did");
}
