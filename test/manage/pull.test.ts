// pull, ls, rm and names in place of files, from a hub over real HTTP.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { aliases } from "../../apps/manage/aliases.ts";
import { parseName } from "../../apps/manage/name.ts";
import { chooseGguf } from "../../apps/manage/pull.ts";
import { FakeHub } from "../support/hub.ts";
import { root, run } from "../support/stranger.ts";

const folderFiles = (folder: string): Map<string, Uint8Array> =>
  new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));
const checkpoint = folderFiles(join(root, "test/fixtures/tern/hf-packed"));
const gguf = new Map([
  ["ggml-model-i2_s.gguf", readFileSync(join(root, "test/fixtures/gguf/tern-i2_s.gguf"))],
  ["tern-f16.gguf", Buffer.from("another")],
  ["README.md", Buffer.from("a model")],
]);

let hub: FakeHub;
let home: string;
const start = (files: Map<string, Uint8Array>): void => {
  hub = new FakeHub(files);
};
beforeEach(() => {
  home = realpathSync(mkdtempSync(join(tmpdir(), "wf-manage-")));
});
afterEach(async () => {
  await hub?.stop();
  rmSync(home, { recursive: true });
});

const command = (...args: string[]): string[] => [
  process.execPath,
  join(root, "apps/cli/main.ts"),
  ...args,
];
const environment = (): Record<string, string> => ({
  HF_ENDPOINT: hub.url,
  HF_HOME: join(home, "hf"),
  XDG_DATA_HOME: join(home, "data"),
  XDG_STATE_HOME: home,
});
const wrinklefree = (...args: string[]) => run(command(...args), root, environment());
const offline = (...args: string[]) =>
  run(command(...args), root, { ...environment(), HF_HUB_OFFLINE: "1" });

const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("a repository with GGUF files", () => {
  beforeEach(() => start(gguf));

  test("gives the ternary one, which ls shows, other commands open, and rm deletes", async () => {
    const pulled = await wrinklefree("pull", "owner/model");
    expect(pulled).toMatchObject({ code: 0, error: "" });
    const path = pulled.out.trim();
    expect(path).toEndWith("/ggml-model-i2_s.gguf");
    expect(sha(readFileSync(path))).toBe(sha(gguf.get("ggml-model-i2_s.gguf")!));

    const list = JSON.parse((await wrinklefree("ls", "--json")).out);
    expect(list).toMatchObject([{ name: "owner/model", kind: "gguf", path, bytes: 3044128 }]);
    expect((await wrinklefree("ls")).out).toMatch(/^owner\/model {2}gguf +2\.9 MiB {2}\d{4}-/);

    const requests = hub.log.length;
    const inspected = await wrinklefree("inspect", "owner/model", "--json");
    expect(JSON.parse(inspected.out)).toMatchObject({ path, layers: 4 });
    const input = new Response("Tell me a story.\n");
    const chat = Bun.spawn(command("chat", "-m", "owner/model", "-n", "4", "-c", "256"), {
      cwd: root,
      env: { ...process.env, ...environment() },
      stdin: input,
      stdout: "pipe",
    });
    expect((await new Response(chat.stdout).text()).trim().length).toBeGreaterThan(0);
    expect(hub.log.length).toBe(requests);

    const removed = await wrinklefree("rm", "owner/model");
    expect(removed).toMatchObject({ code: 0, out: "owner/model: 2.9 MiB free again\n" });
    expect(existsSync(path)).toBe(false);
    expect((await wrinklefree("ls")).out).toStartWith("No models here yet.");
  });

  test("a file of it can be named", async () => {
    const { out } = await wrinklefree("pull", "owner/model:tern-f16.gguf", "--json");
    const pulled = JSON.parse(out);
    expect(pulled).toMatchObject({ repo: "owner/model", kind: "gguf" });
    expect(readFileSync(pulled.path, "utf8")).toBe("another");
  });

  test("killed half-way, the same command goes on where it stopped", async () => {
    hub.faults = { delay: 25 };
    const child = Bun.spawn(command("pull", "owner/model"), {
      cwd: root,
      env: { ...process.env, ...environment() },
      stdout: "ignore",
      stderr: "ignore",
    });
    const blobs = join(home, "hf/hub/models--owner--model/blobs");
    const digest = sha(gguf.get("ggml-model-i2_s.gguf")!);
    const partial = join(blobs, `${digest}.incomplete`);
    while (!(existsSync(partial) && statSync(partial).size > 500_000)) await Bun.sleep(5);
    child.kill("SIGKILL");
    await child.exited;
    const { size } = statSync(partial);
    expect(size).toBeLessThan(2_900_000);
    hub.faults = {};
    const again = await wrinklefree("pull", "owner/model");
    expect(again.code).toBe(0);
    expect(hub.log).toContain(
      `/owner/model/resolve/0123456789abcdef0123456789abcdef01234567/ggml-model-i2_s.gguf bytes=${size}-`,
    );
    expect(sha(readFileSync(again.out.trim()))).toBe(digest);
  });

  test("a wrong checksum is refused, and nothing is left that looks whole", async () => {
    hub.faults = { damage: true };
    const { code, error } = await wrinklefree("pull", "owner/model");
    expect(code).toBe(1);
    expect(error).toContain("ggml-model-i2_s.gguf does not have the digest it should");
    expect(error).toContain("hint: ");
    expect((await wrinklefree("ls")).out).toStartWith("No models");
  });
});

describe("a repository without GGUF", () => {
  beforeEach(() => start(checkpoint));

  test("is converted once, and serve finds the result by the repository's name", async () => {
    const pulled = await wrinklefree("pull", "owner/model");
    expect(pulled).toMatchObject({ code: 0, error: "" });
    const path = pulled.out.trim();
    expect(path).toBe(
      join(home, "data/wrinklefree/models/owner/model/0123456789ab/model-i2_s.gguf"),
    );
    const { mtimeMs } = statSync(path);
    expect((await wrinklefree("pull", "owner/model")).out.trim()).toBe(path);
    expect(statSync(path).mtimeMs).toBe(mtimeMs);
    const kinds = JSON.parse((await wrinklefree("ls", "--json")).out).map(
      (model: { kind: string }) => model.kind,
    );
    expect(kinds.sort()).toEqual(["checkpoint", "converted"]);

    const server = Bun.spawn(command("serve", "-m", "owner/model", "--port", "0", "-c", "256"), {
      cwd: root,
      env: { ...process.env, ...environment(), HF_HUB_OFFLINE: "1" },
      stdout: "pipe",
      stderr: "ignore",
    });
    let said = "";
    for await (const chunk of server.stdout) {
      said += new TextDecoder().decode(chunk);
      if (said.includes("Ready.")) break;
    }
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0];
    const models = (await (await fetch(`${url}/v1/models`)).json()) as { data: object[] };
    expect(models.data[0]).toMatchObject({ id: "model-i2_s", meta: { ftype: "i2_s" } });
    server.kill();
    await server.exited;
  });

  test("names pull what is not here; offline it is an error that says so", async () => {
    const gone = await offline("inspect", "owner/model");
    expect(gone.error).toContain("HF_HUB_OFFLINE is set");
    const found = await wrinklefree("inspect", "owner/model", "--json");
    expect(JSON.parse(found.out).path).toEndWith("model-i2_s.gguf");
    expect((await offline("pull", "owner/model")).out).toEndWith("model-i2_s.gguf\n");
  });

  test("--no-convert keeps the folder, which opens as well", async () => {
    const { out } = await wrinklefree("pull", "owner/model", "--no-convert");
    expect(readdirSync(out.trim())).toContain("model.safetensors");
    const { out: facts } = await wrinklefree("inspect", out.trim(), "--json");
    expect(JSON.parse(facts).kind).toBe("huggingface");
  });
});

describe("mistakes", () => {
  beforeEach(() => start(gguf));
  const cases: [string[], number, RegExp][] = [
    [["pull"], 2, /pull needs the name of a model/],
    [["pull", "bitnet-2c"], 2, /Did you mean bitnet-2b\?/],
    [["pull", "no/such"], 1, /no\/such \(revision main\) is not on/],
    [["pull", "owner/model:x.gguf"], 1, /has no file x\.gguf.*ggml-model-i2_s\.gguf/s],
    [["rm", "owner/modle"], 1, /there is no model owner\/modle here/],
    [["inspect", "falcon3_1b"], 1, /Did you mean falcon3-1b\?/],
  ];
  for (const [args, code, message] of cases) {
    test(args.join(" "), async () => {
      const result = await wrinklefree(...args);
      expect(result.error).toMatch(message);
      expect(result.code).toBe(code);
      expect(result.out).toBe("");
    });
  }
});

test("short names are small, and mean repositories", () => {
  for (const name of Object.keys(aliases)) {
    expect(name).toMatch(/^[a-z0-9.-]+$/);
    expect(parseName(name)?.repo).toMatch(/^[\w.-]+\/[\w.-]+$/);
  }
  expect(parseName("constructor")).toBeUndefined();
  expect(parseName("./model.gguf")).toBeUndefined();
  expect(parseName("folder/model.gguf")).toBeUndefined();
  expect(parseName("a/b:sub/c.gguf")).toEqual({ repo: "a/b", file: "sub/c.gguf" });
});

test("which of several GGUF files is taken", () => {
  const choose = (...files: string[]) => chooseGguf("a/b", files);
  expect(choose("B-Q2_0_g64.gguf", "B-F16.gguf", "B-Q2_0.gguf")).toBe("B-Q2_0.gguf");
  expect(choose("x-TQ1_0.gguf", "x-TQ2_0.gguf")).toBe("x-TQ2_0.gguf");
  expect(choose("only.gguf")).toBe("only.gguf");
  expect(choose("config.json", "model.safetensors")).toBeUndefined();
  expect(choose("a-f16.gguf", "a-bf16.gguf", "model.safetensors")).toBeUndefined();
  expect(() => choose("a-f16.gguf", "a-bf16.gguf")).toThrow("a/b has 2 GGUF files");
});
