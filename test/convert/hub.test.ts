// Downloads from a hub over real HTTP: cuts, 429s, damage, redirects, kills, the cache, the token.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type HubEnvironment, hubEnvironment } from "../../apps/convert/hub/environment.ts";
import { fetchModel } from "../../apps/convert/hub/hub.ts";
import { FakeHub } from "../support/hub.ts";
import { generator } from "../support/random.ts";

const checkpoint = `${import.meta.dir}/../fixtures/tern/hf-packed`;
const files = new Map<string, Uint8Array>(
  readdirSync(checkpoint).map((name) => [name, readFileSync(join(checkpoint, name))]),
);
files.set("README.md", Buffer.from("not needed"));
files.set("original/consolidated.00.pth", Buffer.from("not needed"));

const digests = (name: string): { digest: string } => ({
  digest: createHash("sha256")
    .update(files.get(name) as Uint8Array)
    .digest("hex"),
});

let hub: FakeHub;
let folder: string;
let environment: HubEnvironment;
beforeEach(() => {
  hub = new FakeHub(files);
  folder = mkdtempSync(join(tmpdir(), "wrinklefree-hub-"));
  const variables = { HF_ENDPOINT: hub.url, HF_HOME: folder };
  environment = { ...hubEnvironment(variables), retryDelay: 1 };
});
afterEach(async () => {
  await hub.stop();
  rmSync(folder, { recursive: true });
});

const fetch = (options: object = {}): Promise<string> =>
  fetchModel({ repo: "owner/model" }, undefined, { ...environment, ...options });

function expectWhole(path: string): void {
  for (const name of readdirSync(checkpoint)) {
    expect(Buffer.compare(readFileSync(join(path, name)), files.get(name) as Uint8Array)).toBe(0);
  }
}

describe("download", () => {
  test("a checkpoint's files and no others, in the shared cache's layout", async () => {
    const path = await fetch();
    expectWhole(path);
    expect(existsSync(join(path, "README.md"))).toBe(false);
    expect(path.startsWith(join(folder, "hub", "models--owner--model", "snapshots"))).toBe(true);
    expect(readFileSync(join(folder, "hub/models--owner--model/refs/main"), "utf8")).toHaveLength(
      40,
    );
  });

  test("a second time nothing is fetched again, and offline the cache serves", async () => {
    await fetch();
    const before = hub.log.filter((line) => line.includes("/resolve/")).length;
    await fetch();
    expect(hub.log.filter((line) => line.includes("/resolve/")).length).toBe(before);
    await hub.stop();
    expectWhole(await fetch({ offline: true }));
  });

  test("one file of a repo", async () => {
    const path = await fetchModel(
      { repo: "owner/model", file: "config.json" },
      undefined,
      environment,
    );
    expect(readFileSync(path)).toEqual(Buffer.from(files.get("config.json") as Uint8Array));
  });

  test("connections that are cut are taken up where they ended", async () => {
    hub.faults = { cutAfter: 400_000 };
    expectWhole(await fetch());
    const ranges = hub.log.filter((line) => line.includes("model.safetensors bytes="));
    expect(ranges.length).toBeGreaterThanOrEqual(7);
    expect(ranges[0]).toContain("bytes=400000-");
  });

  test("a server that ignores ranges is read from the start", async () => {
    const aborted = join(folder, "hub/models--owner--model/blobs");
    mkdirSync(aborted, { recursive: true });
    const { digest } = digests("model.safetensors");
    writeFileSync(join(aborted, `${digest}.incomplete`), Buffer.alloc(400_000, 7));
    hub.faults = { ignoreRanges: true };
    const blobs = join(folder, "hub/models--owner--model/blobs");
    const path = await fetch();
    expectWhole(path);
    expect(readdirSync(blobs).some((name) => name.endsWith(".incomplete"))).toBe(false);
  });

  test("429s are waited for", async () => {
    hub.faults = { tooMany: 2 };
    expectWhole(await fetch());
  });

  test("damage on the way is found by the digest and fetched anew", async () => {
    hub.faults = { damageOnce: true };
    expectWhole(await fetch());
  });

  test("damage that stays is refused, and what was fetched is thrown away", async () => {
    hub.faults = { damage: true };
    const error = await fetch().catch((reason) => reason);
    expect(error.code).toBe("bad_file");
    expect(error.message).toMatch(/does not have the digest it should/);
    const blobs = readdirSync(join(folder, "hub/models--owner--model/blobs"));
    expect(blobs.filter((name) => !name.endsWith(".incomplete"))).toEqual([]);
    hub.faults = {};
    expectWhole(await fetch());
  });

  test("progress ends at the total", async () => {
    let last = [0, 0];
    const watch = (bytes: number, total: number): void => {
      last = [bytes, total];
    };
    hub.faults = { cutAfter: 1_000_000 };
    await fetchModel({ repo: "owner/model" }, watch, environment);
    expect(last[0]).toBe(last[1] as number);
    expect(last[0]).toBeGreaterThan(3_000_000);
  });
});

describe("refusals", () => {
  const messageOf = async (run: Promise<unknown>): Promise<string> => {
    const error = await run.then(
      () => undefined,
      (reason) => reason,
    );
    return `${error?.message} | ${error?.hint}`;
  };

  test("gated, missing, wrongly named repos; offline without a cache", async () => {
    expect(await messageOf(fetchModel({ repo: "no/such" }, undefined, environment))).toContain(
      "no/such (revision main) is not on",
    );
    expect(await messageOf(fetchModel({ repo: "justname" }, undefined, environment))).toContain(
      "owner/name",
    );
    expect(await messageOf(fetchModel({ repo: "../etc" }, undefined, environment))).toContain(
      "owner/name",
    );
    expect(await messageOf(fetch({ offline: true }))).toContain("HF_HUB_OFFLINE");
    hub.faults = { gated: true };
    expect(await messageOf(fetch())).toMatch(/is gated.*HF_TOKEN/);
  });

  test("a file that is not there: the error lists what is", async () => {
    const run = fetchModel({ repo: "owner/model", file: "x.gguf" }, undefined, environment);
    expect(await messageOf(run)).toMatch(/has no file x\.gguf.*model\.safetensors/);
  });

  test("a hub that does not answer", async () => {
    await hub.stop();
    const message = await messageOf(fetch({ retries: 1 }));
    expect(message).toMatch(/does not answer.*2 tries/);
  });

  test("the token goes to the hub and to no other host", async () => {
    hub.faults = { requireToken: "secret" };
    expect(await messageOf(fetch())).toContain("is private, or does not exist");
    expectWhole(await fetch({ token: "secret" }));
    expect(hub.leaked.filter((header) => header.includes("secret"))).toEqual([]);
  });
});

describe("environment", () => {
  test("variables of Hugging Face's tools", () => {
    writeFileSync(join(folder, "token"), "from-file\n");
    const read = hubEnvironment({
      HF_HOME: folder,
      HF_ENDPOINT: "http://mirror/",
      HF_HUB_OFFLINE: "1",
    });
    expect(read).toMatchObject({ endpoint: "http://mirror", token: "from-file", offline: true });
    expect(read.cache).toBe(join(folder, "hub"));
    expect(hubEnvironment({ HF_HOME: folder, HF_TOKEN: "own" }).token).toBe("own");
    expect(hubEnvironment({ HOME: "/home/x" }).cache).toBe("/home/x/.cache/huggingface/hub");
    expect(hubEnvironment({ HF_HUB_CACHE: "/c" }).cache).toBe("/c");
  });
});

test("killed again and again, the same command ends with the same file", async () => {
  hub.faults = { delay: 8 };
  const output = join(folder, "model.gguf");
  const main = `${import.meta.dir}/../../apps/cli/main.ts`;
  const command = [
    process.execPath,
    main,
    "convert",
    "--hf-repo",
    "owner/model",
    "-o",
    output,
    "--resume",
  ];
  const env = { ...process.env, HF_ENDPOINT: hub.url, HF_HOME: folder };
  const uniform = generator(20261125);
  let unfinished = 0;
  for (let kill = 0; kill < 10; kill++) {
    const child = Bun.spawn(command, { env, stdout: "ignore", stderr: "ignore" });
    await Bun.sleep(100 + 700 * uniform());
    child.kill(9);
    await child.exited;
    if (!existsSync(output)) unfinished++;
  }
  expect(unfinished).toBeGreaterThan(0);
  hub.faults = {};
  const last = Bun.spawn(command, { env, stdout: "pipe", stderr: "inherit" });
  expect(await last.exited).toBe(0);
  const built = readFileSync(`${import.meta.dir}/../../apps/models/tern-i2_s.gguf`);
  const written = readFileSync(output);
  const tail = 2_900_000;
  expect(Buffer.compare(written.subarray(-tail), built.subarray(-tail))).toBe(0);
}, 60_000);
