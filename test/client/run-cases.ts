// Runs the shared cases with the TypeScript client; on fetch alone, so in Bun, in Node and in a browser.
import {
  type Answer,
  type AnswerStream,
  Client,
  ClientError,
  type Message,
} from "../../apps/client/typescript/index.ts";

/** A case of cases.json; both languages read the same file. */
export interface Case {
  readonly name: string;
  readonly call: string;
  readonly fault?: string;
  readonly input?: unknown;
  /** The input is this text a thousand times. */
  readonly repeat?: string;
  readonly options?: Record<string, unknown>;
  readonly client?: { readonly api_key?: string };
  readonly url_key?: string;
  readonly suffix?: string;
  readonly leave_after?: number;
  readonly result?: unknown;
  readonly error?: object;
  readonly pieces?: readonly string[];
  readonly tries?: number;
  readonly cancelled?: boolean;
}

/** What came of a case, under the names of the wire. */
export interface Outcome {
  readonly result?: unknown;
  readonly error?: { kind: string; status?: number; param?: string; message: string };
  readonly pieces?: readonly string[];
}

/** Where a case's server is. `nowhere` is an address on which nothing listens. */
export function addressOf(test: Case, index: number, proxy: string, nowhere: string): string {
  if (test.fault === "nobody") return nowhere;
  const base = test.url_key ? proxy.replace("//", `//:${test.url_key}@`) : proxy;
  return `${base}/${test.fault ?? "none"}/${index}${test.suffix ?? ""}`;
}

export async function runCases(
  cases: readonly Case[],
  proxy: string,
  nowhere: string,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const [index, test] of cases.entries()) {
    const client = Client.fromUrl(addressOf(test, index, proxy, nowhere), {
      retryDelay: 5,
      timeout: 20_000,
      ...(test.client?.api_key !== undefined && { apiKey: test.client.api_key }),
    });
    const pieces: string[] = [];
    try {
      const result = await call(client, test, pieces);
      outcomes.push({ result, pieces });
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      const { kind, status, param, message } = error;
      outcomes.push({ error: { kind, status, param, message }, pieces });
    }
  }
  return outcomes;
}

const camel = (name: string): string => name.replaceAll(/_(\w)/g, (_, c) => c.toUpperCase());

async function call(client: Client, test: Case, pieces: string[]): Promise<unknown> {
  const options: Record<string, unknown> = Object.fromEntries(
    Object.entries(test.options ?? {}).map(([name, value]) => [camel(name), value]),
  );
  // The cases give seconds.
  if (typeof options.timeout === "number") options.timeout *= 1000;
  const input = test.repeat?.repeat(1000) ?? test.input;
  switch (test.call) {
    case "health":
      return client.health(options);
    case "models":
      return client.models(options);
    case "tokenize":
      return client.tokenize(input as string, options);
    case "detokenize":
      return client.detokenize(input as number[], options);
    case "generate":
      return plain(await client.generate(input as string, options));
    case "chat":
      return plain(await client.chat(input as Message[], options));
    case "stream":
      return collect(client.stream(input as string, options), test, pieces);
    case "chat_stream":
      return collect(client.chatStream(input as Message[], options), test, pieces);
  }
  throw new Error(`no call ${test.call}`);
}

async function collect(stream: AnswerStream, test: Case, pieces: string[]): Promise<unknown> {
  for await (const piece of stream) {
    pieces.push(piece);
    if (pieces.length === test.leave_after) break;
  }
  return { pieces, answer: stream.answer && plain(stream.answer) };
}

function plain({ text, finishReason, usage, model, toolCalls }: Answer): object {
  return {
    text,
    finish_reason: finishReason,
    usage: {
      prompt_tokens: usage.promptTokens,
      cached_tokens: usage.cachedTokens,
      completion_tokens: usage.completionTokens,
    },
    model,
    tool_calls: toolCalls,
  };
}
