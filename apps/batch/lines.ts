// The lines of a batch file: read one by one, each checked before it is asked.
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";

/** A request, or what is wrong with its line. */
export interface BatchLine {
  /** From 1, as editors count. */
  readonly number: number;
  readonly customId: string | null;
  readonly request?: { readonly url: string; readonly body: Record<string, unknown> };
  readonly problem?: string;
}

/** Routes that a line may name. */
const routes = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"];

/** The lines of a shard: every `count`-th that is not empty, from the `index`-th (from 0). */
export async function* batchLines(
  path: string,
  [index, count]: readonly [number, number] = [0, 1],
): AsyncGenerator<BatchLine> {
  const lines = createInterface({
    input: createReadStream(path),
    crlfDelay: Number.POSITIVE_INFINITY,
  });
  let number = 0;
  let requests = 0;
  for await (const text of lines) {
    number++;
    if (text.trim() === "") continue;
    if (requests++ % count === index) yield parseLine(text, number);
  }
}

function parseLine(text: string, number: number): BatchLine {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { number, customId: null, problem: `no JSON: ${(error as Error).message}` };
  }
  if (!isObject(value)) return { number, customId: null, problem: "not a JSON object" };
  const { custom_id: id, method = "POST", url, body } = value;
  const customId = typeof id === "string" ? id : null;
  const wrong = (problem: string): BatchLine => ({ number, customId, problem });
  if (customId === null) return wrong("custom_id must be a string");
  if (method !== "POST") return wrong(`method must be "POST"`);
  if (typeof url !== "string" || !routes.includes(url)) {
    return wrong(`url must be one of ${routes.join(", ")}`);
  }
  if (!isObject(body)) return wrong("body must be an object");
  if (body.stream === true) return wrong("body.stream must not be true");
  return { number, customId, request: { url, body } };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
