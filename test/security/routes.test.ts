// Every route, asked by those who may not: docs/SECURITY-ROUTES.md is what the server really answers.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRegistry } from "../../apps/plugins.ts";
import type { Route } from "../../apps/server/route.ts";
import { allRoutes } from "../../apps/server/routes.ts";
import type { RunningServer } from "../../apps/server/serve.ts";
import { defaultLimits } from "../../apps/server/state.ts";
import { testServer } from "../server/support.ts";

const document = "docs/SECURITY-ROUTES.md";
const routes = allRoutes((await createRegistry()).samplers);
const right = { authorization: "Bearer right" };

/** The callers of the table: a title, and what they send. */
const callers = [
  ["No key", {}],
  ["Wrong key", { authorization: "Bearer wrong" }],
  ["Foreign Origin", { ...right, origin: "https://evil.example" }],
  ["Foreign Host", { ...right, host: "evil.example" }],
  ["Right key", right],
] as const satisfies readonly (readonly [string, Record<string, string>])[];

async function ask(server: RunningServer, route: Route, path: string, headers: object) {
  const reply = await fetch(server.url + path.replace(/:\w+/g, "0"), {
    method: route.method,
    headers: { ...headers },
    body: route.method === "POST" ? "{}" : undefined,
  });
  return { status: reply.status, headers: reply.headers, text: await reply.text() };
}

const mebi = 2 ** 20;
const idle = defaultLimits.idleSeconds;
const intro = `# Who may call what

Every route of the server, asked by five callers: the status of each answer. The server has one API
key and listens on a loopback address. "Foreign Origin" is a script of another web page, "Foreign
Host" is such a script behind DNS rebinding; both send the right key, and are refused all the same.
With the right key and an empty body, 400 says which field is missing, 404 that there is no such
model or answer, 501 that this server was not told to do it.

Without any key (\`--api-key\`), the server answers programs as in the last column; a foreign Origin
and a foreign Host are refused as here. Images and forms of other sites, which send no Origin, are
refused by their Sec-Fetch-Site header, except where no key is needed. Beyond loopback
(\`--host 0.0.0.0\`) any Host is answered: set a key there. Paths that do not exist are a 404 for
every caller, and OPTIONS gives no permission to an Origin that \`--cors-origin\` does not name.

## What a client may cost

| Limit | Default | Past it |
|---|---|---|
| bytes of a body | ${defaultLimits.bodyBytes / mebi} MiB | 413, connection closed |
| time of a body to arrive | ${defaultLimits.bodyMs / 1000} s | 408, connection closed |
| bytes of all bodies that arrive at once | ${defaultLimits.arrivingBytes / mebi} MiB | 429 |
| header lines, their number, the address | 16 KiB, 198 | 431, connection closed |
| silence between requests, or a reader that takes nothing | ${idle} s | closed, its pages freed |
| levels of JSON in each other | 128 | 400 |
| characters of a prompt for each token of the context | 256 | 400, not tokenized |
| connections | open files allowed | they wait to be accepted |
| requests that wait | \`--queue\` | 429 with Retry-After |

A stream stops at the client's pace; tokens that the engine makes meanwhile wait, one
context of them at most. The tests are in \`test/security\` and \`test/server\`. Saved
caches are plain names in their folder, links in it are not followed; errors name no folder
and no stack; the log has one line for each request whatever it holds, and neither the log
nor the metrics hold prompts. With several keys, callers share no cached prefixes.

## Routes

\`bun test test/security/routes.test.ts\` asks all of this again and fails when a line differs, or a
route is missing; with \`UPDATE_DOCS=1\` it writes this file.

`;

function table(rows: readonly (readonly string[])[]): string {
  const head = ["Route", ...callers.map(([title]) => title)];
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

describe("a server with a key on loopback", () => {
  let server: RunningServer;
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "wrinklefree-slots-"));
    server = await testServer({ apiKeys: ["right"], metrics: true, slotSavePath: folder });
  });
  afterAll(async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  test("answers as the table says, on every path of every route", async () => {
    const rows: string[][] = [];
    for (const route of routes) {
      for (const path of route.paths) {
        const row = [`\`${route.method} ${path}\``];
        for (const [title, headers] of callers) {
          const { status, text, headers: got } = await ask(server, route, path, headers);
          if (title.startsWith("Foreign")) {
            expect([path, status]).toEqual([path, 403]);
            expect(got.get("access-control-allow-origin")).toBeNull();
          }
          if (!route.public && title !== "Right key") expect([401, 403]).toContain(status);
          expect([path, text.includes(process.cwd()), status]).toEqual([path, false, status]);
          expect(status).not.toBe(500);
          row.push(`${status}`);
        }
        rows.push(row);
      }
    }
    rows.sort((a, b) => (a[0]! < b[0]! ? -1 : 1));
    const text = `${intro}${table(rows)}\n`;
    if (process.env.UPDATE_DOCS === "1") await Bun.write(document, text);
    expect(await Bun.file(document).text()).toBe(text);
  });

  test("lets callers without a key see its health, its models' names and its page, no more", () => {
    const open = routes.filter((route) => route.public).flatMap((route) => route.paths);
    const harmless = /^\/$|^\/assets\/|health|^\/ready$|\/models|^\/api\/version$|^\/openapi/;
    expect(open.filter((path) => !harmless.test(path))).toEqual([]);
  });

  test("gives an Origin that it does not know no permission by OPTIONS", async () => {
    for (const { paths } of routes) {
      const reply = await fetch(server.url + paths[0]!.replace(/:\w+/g, "0"), {
        method: "OPTIONS",
        headers: { origin: "https://evil.example", "access-control-request-method": "POST" },
      });
      expect(reply.headers.get("access-control-allow-origin")).toBeNull();
    }
  });

  test("takes a damaged escape in a path as a name that it does not have", async () => {
    for (const path of [
      "/v1/models/%zz",
      "/models/%",
      "/slots/%00/x",
      "/v1/models/..%2f..%2fetc",
    ]) {
      const reply = await fetch(server.url + path, { headers: right });
      expect([path, reply.status]).toEqual([path, 404]);
    }
  });
});

test("without a key, images and forms of other sites reach only what is open to all", async () => {
  const server = await testServer();
  try {
    for (const route of routes) {
      const headers = { "sec-fetch-site": "cross-site" };
      const { status } = await ask(server, route, route.paths[0]!, headers);
      expect([route.paths[0], status === 403]).toEqual([route.paths[0], !route.public]);
    }
  } finally {
    await server.stop();
  }
});
