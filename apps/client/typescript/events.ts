// Reads server-sent events from a response's body with nothing but what browsers have.

/** The data of each event. Comments and other fields are skipped; `alive` is called for every piece. */
export async function* readEvents(reply: Response, alive: () => void): AsyncGenerator<string> {
  const reader = reply.body?.getReader();
  if (!reader) return;
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    alive();
    rest += done ? decoder.decode() : decoder.decode(value as Uint8Array, { stream: true });
    // A lone CR at the end may be half of a CRLF.
    const events = rest.split(/\r\n\r\n|\n\n/);
    rest = events.pop() ?? "";
    for (const event of events) {
      const data = dataOf(event);
      if (data !== undefined) yield data;
    }
    if (done) return;
  }
}

/** The data lines of one event, joined; undefined when it has none. */
function dataOf(event: string): string | undefined {
  const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
  if (lines.length === 0) return undefined;
  return lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
}
