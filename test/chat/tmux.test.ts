// The terminal chat inside tmux: a real terminal that redraws, resizes and passes keys on.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must, root, run } from "../support/stranger.ts";

const tmux = Bun.which("tmux");
if (tmux === null) console.log("chat: no tmux here, so the chat is not driven through it");

const folder = mkdtempSync(join(tmpdir(), "wf-tmux-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** One tmux server of our own, with one window that runs `command`. */
class Terminal {
  readonly #socket: string;

  constructor(name: string) {
    this.#socket = join(folder, `${name}.sock`);
  }

  #tmux(...args: string[]): Promise<string> {
    return must([tmux as string, "-S", this.#socket, "-f", "/dev/null", ...args], root);
  }

  async start(command: string, environment: Record<string, string> = {}): Promise<void> {
    const script = join(folder, `${this.#socket.split("/").at(-1)}.sh`);
    const set = Object.entries({ XDG_STATE_HOME: folder, ...environment })
      .map(([name, value]) => `export ${name}='${value}'\n`)
      .join("");
    // The window stays when the program ends, and shows how.
    writeFileSync(script, `unset NO_COLOR\n${set}${command}\necho "[ended with $?]"\nsleep 600\n`);
    await this.#tmux("new-session", "-d", "-x", "80", "-y", "24", `sh ${script}`);
  }

  async type(text: string): Promise<void> {
    await this.#tmux("send-keys", "-l", text);
  }

  /** Keys by tmux's names: Enter, C-c, Up. */
  async press(...keys: string[]): Promise<void> {
    await this.#tmux("send-keys", ...keys);
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.#tmux("resize-window", "-x", String(columns), "-y", String(rows));
  }

  /** What the screen shows, with what has scrolled away; `colours` keeps escape sequences. */
  screen(colours = false): Promise<string> {
    const flags = colours ? ["-e"] : [];
    return this.#tmux("capture-pane", "-p", "-J", "-S", "-200", ...flags);
  }

  /** Waits until the screen shows `pattern` at least `times` times. */
  async shows(pattern: RegExp, times = 1): Promise<string> {
    const all = new RegExp(pattern, `${pattern.flags}g`);
    for (let i = 0; i < 600; i++) {
      const screen = await this.screen();
      if ((screen.match(all)?.length ?? 0) >= times) return screen;
      await Bun.sleep(25);
    }
    throw new Error(`${pattern} does not appear in:\n${await this.screen()}`);
  }

  async line(text: string): Promise<void> {
    await this.type(text);
    await this.press("Enter");
  }

  async stop(): Promise<void> {
    await run([tmux as string, "-S", this.#socket, "kill-server"], root);
  }
}

const chat = `'${process.execPath}' apps/cli/main.ts chat -c 512 -t 1 --set temperature=0`;
const done = /\d+ tokens, .*first after/;

if (tmux !== null) {
  describe("a dialogue in tmux", () => {
    const terminal = new Terminal("dialogue");
    beforeAll(() => terminal.start(chat));
    afterAll(() => terminal.stop());

    test("answers, in colours", async () => {
      await terminal.shows(/\/help lists commands/);
      await terminal.line("Hello");
      const screen = await terminal.shows(done);
      expect(screen).toContain("> Hello\n\n".trimEnd());
      expect(screen).toContain("Hello! How can I help you today?");
      expect(await terminal.screen(true)).toContain("\u001b[");
    });

    test("changes settings, tells the model, and answers anew", async () => {
      await terminal.line("/set max_tokens 4");
      await terminal.line("/regen");
      await terminal.shows(/^Hello! How can$/m);
      await terminal.line("/info");
      await terminal.shows(/^ {2}quantization +i2_s$/m);
    });

    test("saves and loads the conversation", async () => {
      const file = join(folder, "talk.json");
      await terminal.line(`/save ${file}`);
      await terminal.shows(/Saved 2 messages/);
      expect(JSON.parse(readFileSync(file, "utf8")).messages[1].content).toBe("Hello! How can");
      await terminal.line("/clear");
      await terminal.line(`/load ${file}`);
      await terminal.shows(/Loaded 2 messages/);
    });

    test("goes on after the window changes its size, and edits a long line", async () => {
      await terminal.press("C-l");
      await terminal.resize(50, 20);
      const long = "Tell me a story about a fox and a lantern and a very long road to the sea";
      await terminal.type(`${long} X`);
      await terminal.press("BSpace", "BSpace");
      await terminal.resize(100, 30);
      await terminal.press("Enter");
      await terminal.shows(done, 3);
      const last = JSON.parse(
        await (async () => {
          const file = join(folder, "long.json");
          await terminal.line(`/save ${file}`);
          await terminal.shows(/Saved 4 messages/);
          return readFileSync(file, "utf8");
        })(),
      );
      expect(last.messages[2].content).toBe(long);
    });

    test("Ctrl-C stops the answer; twice at the prompt it leaves", async () => {
      await terminal.line("/set max_tokens 400");
      await terminal.line("/set ignore_eos true");
      await terminal.line("Once more.");
      await terminal.shows(/Once more\.\s+\w+/);
      await terminal.press("C-c");
      await terminal.shows(/\(stopped\)/);
      await terminal.press("C-c");
      await terminal.shows(/Ctrl-C again leaves/);
      await terminal.press("C-c");
      await terminal.shows(/\[ended with 0\]/);
    });
  });

  test("NO_COLOR: not one escape sequence of colour", async () => {
    const terminal = new Terminal("plain");
    await terminal.start(chat, { NO_COLOR: "1" });
    await terminal.shows(/\/help lists commands/);
    await terminal.line("/nothing");
    await terminal.shows(/error: there is no command \/nothing/);
    expect(await terminal.screen(true)).not.toContain("\u001b[");
    await terminal.press("C-d");
    await terminal.shows(/\[ended with 0\]/);
    await terminal.stop();
  });

  test("a pipe from the terminal's shell gets the answer and nothing else", async () => {
    const terminal = new Terminal("pipe");
    const file = join(folder, "piped.txt");
    await terminal.start(`echo Hello | ${chat} > ${file}`);
    await terminal.shows(/\[ended with 0\]/);
    expect(existsSync(file)).toBe(true);
    expect(readFileSync(file, "utf8")).toBe("Hello! How can I help you today?\n");
    await terminal.stop();
  });
}
