// Every manifest of deploy/: checked against its schema offline, its exact command line started here.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { modelPath } from "../server/support.ts";
import { freePort, healthy, type Program, startProgram } from "../support/process.ts";
import { pythonWith } from "../support/python.ts";
import { root, run } from "../support/stranger.ts";

const folder = join(root, "deploy");
const read = (path: string): string => readFileSync(join(folder, path), "utf8");
// biome-ignore lint/suspicious/noExplicitAny: a manifest's shape is what is tested
type Yaml = any;
const yaml = (path: string): Yaml => Bun.YAML.parse(read(path));
const files = (path: string): string[] =>
  readdirSync(join(folder, path)).map((name) => join(folder, path, name));

const packages = ["kubernetes-validate==1.37.0", "compose-spec==0.2.1", "skypilot==0.14.1"];
const python = pythonWith("deploy", packages);
const smg = pythonWith("smg", ["smg==1.13.0"]);

/** Holds a model as `pull bitnet-2b` leaves it, a catalog of machines, and the command. */
const home = mkdtempSync(join(tmpdir(), "wf-deploy-"));
afterAll(() => rmSync(home, { recursive: true }));
const environment = { HF_HOME: join(home, "hub-home"), HF_HUB_OFFLINE: "1", NO_COLOR: "1" };

beforeAll(() => {
  const repository = join(environment.HF_HOME, "hub/models--microsoft--bitnet-b1.58-2B-4T-gguf");
  const snapshot = join(repository, "snapshots", "0".repeat(40));
  mkdirSync(snapshot, { recursive: true });
  mkdirSync(join(repository, "refs"));
  writeFileSync(join(repository, "refs/main"), "0".repeat(40));
  copyFileSync(join(root, modelPath), join(snapshot, "ggml-model-i2_s.gguf"));
  mkdirSync(join(home, "bin"));
  const command = `exec ${process.execPath} ${join(root, "apps/cli/main.ts")} "$@"`;
  writeFileSync(join(home, "bin/wrinklefree"), `#!/bin/sh\n${command}\n`);
  chmodSync(join(home, "bin/wrinklefree"), 0o755);
});

/** Words of an instruction's JSON form in a Containerfile. */
function words(instruction: string, path = "Containerfile"): string[] {
  const line = new RegExp(`^${instruction}.* ?(\\[.*\\])$`, "m").exec(read(path))?.[1];
  return JSON.parse(line!) as string[];
}

/** The image's entry point with the repository in the place of what is installed. */
function inImage(args: readonly string[]): string[] {
  const command = [...words("ENTRYPOINT"), ...args];
  expect(command.slice(0, 2)).toEqual([
    "/usr/local/bin/bun",
    "/app/node_modules/wrinklefree/apps/cli/main.ts",
  ]);
  return [process.execPath, "apps/cli/main.ts", ...command.slice(2)];
}

async function start(command: readonly string[], more: Record<string, string> = {}) {
  const port = await freePort();
  const path = `${join(home, "bin")}:${process.env.PATH}`;
  const env = { ...environment, PATH: path, WF_PORT: String(port), ...more };
  return startProgram(command, `http://127.0.0.1:${port}`, healthy, env);
}

const servers: readonly (readonly [string, () => readonly string[]])[] = [
  ["the image", () => inImage(words("CMD"))],
  ["compose", () => inImage(yaml("compose.yaml").services["server-1"].command)],
  [
    "systemd",
    () => {
      const line = /^ExecStart=\/usr\/bin\/env (.*)$/m.exec(
        read("systemd/wrinklefree.service"),
      )![1];
      return line!.replace("/etc/wrinklefree", join(folder, "systemd")).split(" ");
    },
  ],
  [
    "Kubernetes",
    () => {
      const { containers } = yaml("kubernetes/base/deployment.yaml").spec.template.spec;
      return inImage(containers[0].args);
    },
  ],
  ...readdirSync(join(folder, "skypilot")).map((name) => {
    return [`SkyPilot ${name}`, () => ["bash", "-c", yaml(`skypilot/${name}`).run]] as const;
  }),
];

describe("command lines", () => {
  for (const [name, command] of servers) {
    test(`${name}: healthy, live and ready; ends well when told to`, async () => {
      const server = await start(command(), { MODEL: "bitnet-2b" });
      try {
        for (const path of ["/health", "/health/live", "/health/ready", "/metrics"]) {
          expect({ path, status: (await fetch(server.url + path)).status }).toEqual({
            path,
            status: 200,
          });
        }
      } finally {
        expect(await server.end("SIGTERM")).toBe(0);
      }
    }, 60_000);
  }

  test("the image's health check needs no shell and follows the server", async () => {
    const [bun, ...rest] = words("HEALTHCHECK");
    expect(bun).toBe("/usr/local/bin/bun");
    const server = await start(inImage(words("CMD")));
    const check = () => run([process.execPath, ...rest], root, { WF_PORT: server.url.slice(17) });
    expect((await check()).code).toBe(0);
    await server.end("SIGTERM");
    expect((await check()).code).not.toBe(0);
  }, 60_000);

  test("the jobs that fetch the model find what is there", async () => {
    const job = yaml("kubernetes/base/model.yaml").spec.template.spec.containers[0].args;
    expect(yaml("compose.yaml").services.model.command).toEqual(job);
    const { code, out } = await run(inImage(job), root, environment);
    expect({ code, path: out.trim().endsWith("ggml-model-i2_s.gguf") }).toEqual({
      code: 0,
      path: true,
    });
  });

  test.if(smg !== undefined)(
    "compose's router takes its servers",
    async () => {
      const workers = await Promise.all([1, 2].map(() => start(inImage(words("CMD")))));
      let router: Program | undefined;
      try {
        const port = await freePort();
        const [program, ...args] = [
          ...words("ENTRYPOINT", "router.Containerfile"),
          ...yaml("compose.yaml").services.router.command,
        ].map((word: string) => {
          const worker = /^http:\/\/server-(\d):8080$/.exec(word)?.[1];
          if (worker !== undefined) return workers[Number(worker) - 1]!.url;
          return word === "8080" ? String(port) : word;
        });
        expect(program).toBe("python");
        const metrics = ["--prometheus-port", String(await freePort())];
        const ready = async (url: string) => (await fetch(`${url}/v1/models`)).ok;
        router = await startProgram([smg!, ...args, ...metrics], `http://127.0.0.1:${port}`, ready);
        const models = (await (await fetch(`${router.url}/v1/models`)).json()) as Yaml;
        expect(models.data.length).toBeGreaterThan(0);
      } finally {
        await router?.end();
        for (const worker of workers) await worker.end();
      }
    },
    60_000,
  );
});

describe("schemas", () => {
  if (python !== undefined) {
    const check = (kind: string, paths: readonly string[]) =>
      run([python, "test/deploy/check.py", kind, ...paths], root, { HOME: home });
    const manifests = [
      ...files("kubernetes/base").filter((path) => !path.endsWith("kustomization.yaml")),
      join(folder, "kubernetes/hpa/hpa.yaml"),
    ];

    test("Kubernetes", async () => {
      expect(await check("kubernetes", manifests)).toMatchObject({ code: 0, error: "" });
      const broken = join(home, "broken.yaml");
      writeFileSync(broken, read("kubernetes/base/service.yaml").replace("targetPort", "target"));
      expect((await check("kubernetes", [broken])).error).toContain("broken.yaml");
    });

    test("compose", async () => {
      const path = join(folder, "compose.yaml");
      expect(await check("compose", [path])).toMatchObject({ code: 0, error: "" });
      const broken = join(home, "broken.yaml");
      writeFileSync(broken, read("compose.yaml").replace("read_only: true", "read_only: 7"));
      expect((await check("compose", [broken])).error).toContain("broken.yaml");
    });

    test("SkyPilot", async () => {
      // Names of machines are looked up in tables, which it would fetch; figures do not matter here.
      const tables = join(home, ".sky/catalogs/v8");
      const head = "InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Region";
      const row = (name: string): string => `${name},16,32,,,,here,here-a,1,1`;
      for (const [cloud, names] of [
        ["gcp", ["c3d-highcpu-16", "h3-standard-88"]],
        ["runpod", ["cpu5c-32-64"]],
      ] as const) {
        mkdirSync(join(tables, cloud), { recursive: true });
        const lines = [`${head},AvailabilityZone,Price,SpotPrice`, ...names.map(row)];
        writeFileSync(join(tables, cloud, "vms.csv"), `${lines.join("\n")}\n`);
      }
      const result = await check("skypilot", files("skypilot"));
      expect({ code: result.code, error: result.code === 0 ? "" : result.error }).toEqual({
        code: 0,
        error: "",
      });
      expect(result.out.trim().split("\n").length).toBe(4);
      const broken = join(home, "broken.yaml");
      writeFileSync(broken, read("skypilot/generic.yaml").replace("least_load", "most_load"));
      expect((await check("skypilot", [broken])).error).toContain("broken.yaml");
    }, 60_000);
  }

  test("each overlay names files that are there, and scales the server that is there", () => {
    for (const name of ["base", "keda", "hpa"]) {
      const { resources } = yaml(`kubernetes/${name}/kustomization.yaml`);
      const here = resources.filter((path: string) => path !== "../base");
      const present = readdirSync(join(folder, "kubernetes", name));
      expect(present.sort()).toEqual([...here, "kustomization.yaml"].sort());
    }
    const { metadata } = yaml("kubernetes/base/deployment.yaml");
    expect(yaml("kubernetes/hpa/hpa.yaml").spec.scaleTargetRef.name).toBe(metadata.name);
    const scaled = yaml("kubernetes/keda/scaledobject.yaml");
    expect(scaled.spec.scaleTargetRef.name).toBe(metadata.name);
    expect(scaled.spec.triggers[0]).toMatchObject({ type: "prometheus" });
    expect(typeof scaled.spec.triggers[0].metadata.threshold).toBe("string");
  });

  test("the metrics that scaling asks for are the server's", async () => {
    const query: string = yaml("kubernetes/keda/scaledobject.yaml").spec.triggers[0].metadata.query;
    const names = [...query.matchAll(/[a-z]+:[a-z_]+/g)].map(([name]) => name);
    expect(names.length).toBe(2);
    const server = await start(inImage(words("CMD")));
    const text = await (await fetch(`${server.url}/metrics`)).text();
    await server.end();
    for (const name of names) {
      expect(text).toContain(`\n${name} `);
      expect(read("kubernetes/hpa/hpa.yaml")).toContain(name);
    }
  });

  test("kustomize puts them together", async () => {
    const kubectl = Bun.which("kubectl");
    if (kubectl === null) return console.warn("kubectl is not here: kustomize is not run");
    for (const name of ["base", "keda", "hpa"]) {
      const path = join(folder, "kubernetes", name);
      const { code, out, error } = await run([kubectl, "kustomize", path], root);
      expect({ code, error }).toEqual({ code: 0, error: "" });
      expect(out).toContain("kind: Deployment");
    }
  });

  test("systemd takes the unit", async () => {
    const analyze = Bun.which("systemd-analyze");
    if (analyze === null) return console.warn("systemd is not here: the unit is not verified");
    const unit = join(folder, "systemd/wrinklefree.service");
    const { code, out, error } = await run([analyze, "verify", unit], root);
    expect({ code, text: out + error }).toEqual({ code: 0, text: "" });
  });
});
