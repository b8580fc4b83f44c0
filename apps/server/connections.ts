// Ends connections whose client neither sends nor takes anything while it is the client's turn.
import type { Server } from "bun";

/** Tells the HTTP server, request by request, whether silence is the client's fault. */
export class Connections {
  readonly #idleSeconds: number;
  #server: Server<undefined> | undefined;

  /** `idleSeconds`: silence of a client before its connection is closed; 1 to 255. */
  constructor(idleSeconds: number) {
    this.#idleSeconds = idleSeconds;
  }

  bind(server: Server<undefined>): void {
    this.#server = server;
  }

  /** The client's turn: to send its body, to take what is sent, to ask again or leave. */
  expectClient(request: Request): void {
    this.#server?.timeout(request, this.#idleSeconds);
  }

  /** The engine's turn: a long prompt or a queue may keep the connection silent. */
  expectEngine(request: Request): void {
    this.#server?.timeout(request, 0);
  }
}
