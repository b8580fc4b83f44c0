// A bad client over a bare socket: sends what it is told, reads or does not, and tells what it saw.
import { connect, type Socket } from "node:net";
import type { RunningServer } from "../../apps/server/serve.ts";

/** A request as bytes. `length` may lie about the body. */
export function request(path: string, body?: string, length = Buffer.byteLength(body ?? "")) {
  if (body === undefined) return `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
  return `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${length}\r\n\r\n${body}`;
}

export class RawClient {
  received = "";
  readonly closed: Promise<string>;
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (data) => {
      this.received += data.toString("latin1");
    });
    socket.on("error", () => {});
    this.closed = new Promise((resolve) => socket.on("close", () => resolve(this.received)));
  }

  static open(server: RunningServer): Promise<RawClient> {
    const port = Number(new URL(server.url).port);
    return new Promise((resolve, reject) => {
      const socket = connect(port, "127.0.0.1", () => resolve(new RawClient(socket)));
      socket.once("error", reject);
    });
  }

  send(bytes: string): void {
    this.#socket.write(bytes);
  }

  leave(): void {
    this.#socket.destroy();
  }

  /** Waits until `text` has come, or the server has closed. */
  async until(text: string): Promise<string> {
    let over = false;
    void this.closed.then(() => {
      over = true;
    });
    while (!over && !this.received.includes(text)) await Bun.sleep(2);
    return this.received;
  }
}

/** Sends bytes and returns all that comes until the server closes the connection. */
export async function exchange(server: RunningServer, bytes: string): Promise<string> {
  const client = await RawClient.open(server);
  client.send(bytes);
  return client.closed;
}
