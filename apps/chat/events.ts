// Reads the data lines of a server-sent event stream.

/** The data of each event. Comments and other fields are skipped. */
export async function* readServerSentEvents(reply: Response): AsyncGenerator<string> {
  if (!reply.body) return;
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of reply.body as unknown as AsyncIterable<Uint8Array>) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split(/\r?\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.startsWith("data:")) yield line.slice(5).trimStart();
    }
  }
}
