// The shared behaviour suite: a real server, the fault proxy before it, and the tests of one runner's outcomes.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { RunningServer } from "../../apps/server/serve.ts";
import { testServer } from "../server/support.ts";
import list from "./cases.json" with { type: "json" };
import { FaultProxy } from "./faults.ts";
import type { Case, Outcome } from "./run-cases.ts";

export const cases = list as readonly Case[];

/** Port 9 (discard) is not served on any machine that runs tests. */
export const nowhere = "http://127.0.0.1:9";

/** Runs all cases against one server with `run`, then has one test for each of them. */
export function behaviourSuite(
  name: string,
  run: (proxy: string) => Promise<readonly Outcome[]>,
  files?: ReadonlyMap<string, string>,
): void {
  describe(name, () => {
    let server: RunningServer;
    let proxy: FaultProxy;
    let outcomes: readonly Outcome[];
    beforeAll(async () => {
      server = await testServer();
      proxy = new FaultProxy(server.url, files);
      outcomes = await run(proxy.url);
    });
    afterAll(async () => {
      await proxy.stop();
      await server.stop();
    });
    for (const [index, { name, result, error, pieces, ...expected }] of cases.entries()) {
      test(name, async () => {
        const outcome = outcomes[index];
        if (error) expect(outcome?.error).toMatchObject(error);
        else expect(outcome).toMatchObject({ result: result as object });
        if (pieces) expect(outcome?.pieces).toEqual(pieces as string[]);
        const observed = proxy.observed(expected.fault ?? "none", String(index));
        if (expected.tries !== undefined) expect(observed.tries).toBe(expected.tries);
        // The news of a closed connection may still be on its way.
        for (let i = 0; expected.cancelled && !observed.cancelled && i < 500; i++) {
          await Bun.sleep(10);
        }
        if (expected.cancelled) expect(observed.cancelled).toBe(true);
      });
    }
  });
}
