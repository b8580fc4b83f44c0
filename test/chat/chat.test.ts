// The terminal chat through a pipe, through a pseudo-terminal, and against a server.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import type { RunningServer } from "../../apps/server/serve.ts";
import { testServer } from "../server/support.ts";

const cli = [process.execPath, "apps/cli/main.ts", "chat"];
const local = ["-c", "512", "-t", "1", "--set", "temperature=0"];
const env: Record<string, string | undefined> = { ...process.env, NO_COLOR: "1" };
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wf-chat-"));
  env.XDG_STATE_HOME = folder;
});
afterAll(() => rm(folder, { recursive: true }));

async function pipe(args: string[], input: string) {
  const child = Bun.spawn([...cli, ...args], {
    stdin: new Blob([input]),
    stdout: "pipe",
    stderr: "pipe",
    env,
  });
  const [code, stdout, stderr] = await Promise.all([
    child.exited,
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code, stdout, stderr };
}

describe("a pipe", () => {
  test("gets the answer and nothing else", async () => {
    const first = await pipe([...local, "-n", "12"], "Tell me a story.\n");
    expect(first).toMatchObject({ code: 0, stderr: "" });
    expect(first.stdout.trim().split(/\s+/).length).toBeGreaterThan(5);
    expect(await pipe([...local, "-n", "12"], "Tell me a story.\n")).toEqual(first);
  });

  test("wrong use is one clear error", async () => {
    const cases: [string[], string, number, string][] = [
      [["--set", "temprature=1"], "x", 2, "Did you mean temperature?"],
      [["--set", "top_p=7"], "x", 2, "top_p 7"],
      [["-m", "a", "--url", "b"], "x", 2, "--model or --url"],
      [[], "  \n", 2, "standard input is empty"],
      [["--url", "http://127.0.0.1:9"], "x", 1, "cannot be reached"],
    ];
    for (const [args, input, code, text] of cases) {
      const result = await pipe(args, input);
      expect(result.stderr).toStartWith("error: ");
      expect(result.stderr).toContain(text);
      expect(result.code).toBe(code);
    }
  });
});

describe("a server at a URL", () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await testServer();
  });
  afterAll(() => server.stop());

  test("answers as the model in this process does", async () => {
    const remote = ["--url", server.url, "--set", "temperature=0", "-n", "12"];
    const there = await pipe(remote, "Tell me a story.");
    const here = await pipe([...local, "-n", "12"], "Tell me a story.");
    expect(there).toEqual(here);
  });

  test("and its errors are shown", async () => {
    const result = await pipe(["--url", server.url], "word ".repeat(3000));
    expect(result.code).toBe(1);
    expect(result.stderr).toContain("exceeds the available context size");
  });
});

/** A chat on a pseudo-terminal: what it showed so far, and waiting for what it will show. */
class Dialogue {
  #shown = "";
  #changed = (): void => {};
  readonly child;

  constructor(args: string[]) {
    this.child = Bun.spawn([...cli, ...args], {
      env,
      terminal: {
        cols: 100,
        rows: 30,
        data: (_terminal: unknown, data: Uint8Array) => {
          this.#shown += new TextDecoder().decode(data);
          this.#changed();
        },
      },
    });
  }

  type(text: string): void {
    this.child.terminal?.write(text);
  }

  /** Waits for the prompt. */
  ready(): Promise<string> {
    return this.wait(/> $/);
  }

  /** Waits for `pattern` in what was shown since the last wait, and returns that. */
  async wait(pattern: RegExp): Promise<string> {
    for (;;) {
      const plain = stripVTControlCharacters(this.#shown);
      const match = pattern.exec(plain);
      if (match) {
        const end = match.index + match[0].length;
        this.#shown = plain.slice(end);
        return plain.slice(0, end);
      }
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }
}

describe("a terminal", () => {
  test("holds a dialogue with commands, and leaves on Ctrl-D", async () => {
    const chat = new Dialogue(local);
    const file = join(folder, "saved.json");
    await chat.wait(/help lists commands/);
    await chat.ready();
    chat.type("Hello!\r");
    await chat.wait(/\d+ tokens, .*first after/);
    await chat.ready();
    chat.type("/set top_k 5\r");
    await chat.ready();
    chat.type("/set\r");
    expect(await chat.wait(/temperature +0 \(set\)/)).toMatch(/top_k +5 \(set\)/);
    chat.type("/info\r");
    await chat.wait(/quantization +i2_s/);
    chat.type("/reggen\r");
    await chat.wait(/Did you mean \/regen\?/);
    chat.type('"""two\rlines"""\r');
    await chat.wait(/first after/);
    chat.type("/regen\r");
    await chat.wait(/first after/);
    chat.type(`/save ${file}\r`);
    await chat.wait(/Saved 4 messages/);
    const saved = JSON.parse(await readFile(file, "utf8"));
    expect(saved.messages.map((message: { role: string }) => message.role)).toEqual([
      "user",
      "assistant",
      "user",
      "assistant",
    ]);
    expect(saved.messages[2].content).toBe("two\nlines");
    chat.type(`/clear\r/load ${file}\r`);
    await chat.wait(/Loaded 4 messages/);
    chat.type("\x04");
    expect(await chat.child.exited).toBe(0);
  });

  test("remembers what was typed in the chat before", async () => {
    const first = new Dialogue(local);
    await first.ready();
    first.type("/info\r");
    await first.ready();
    first.type("\x04");
    expect(await first.child.exited).toBe(0);
    const second = new Dialogue(local);
    await second.ready();
    second.type("\x1b[A\r");
    await second.wait(/quantization +i2_s/);
    second.type("\x04");
    expect(await second.child.exited).toBe(0);
  });

  test("Ctrl-C stops the answer and not the program", async () => {
    const chat = new Dialogue(["-c", "512", "-t", "1", "--set", "ignore_eos=true"]);
    await chat.ready();
    chat.type("Tell me a story.\r");
    await chat.wait(/story\.\s+\w+ \w+/);
    chat.type("\x03");
    await chat.wait(/\(stopped\)/);
    await chat.ready();
    chat.type("/set temperature\r");
    await chat.wait(/usage: \/set name value/);
    chat.type("\x03");
    await chat.wait(/Ctrl-C again leaves/);
    chat.type("\x03");
    expect(await chat.child.exited).toBe(0);
  });
});
