// validate passes on our server, and fails on each faulty one for the right reason.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ValidateOptions, validate } from "../../apps/validate/run.ts";
import { testServer } from "../server/support.ts";
import {
  deafToHangUps,
  type Faulty,
  losing,
  truncating,
  withCrossTalk,
  withoutCache,
} from "./servers.ts";

let server: Awaited<ReturnType<typeof testServer>>;
beforeAll(async () => {
  server = await testServer({ metrics: true });
});
afterAll(() => server.stop());

const options: Omit<ValidateOptions, "url"> = {
  timeoutMs: 60_000,
  prefixTokens: 256,
  minCached: 0.8,
  minSpeedup: 1.5,
  concurrency: 8,
  minSuccess: 1,
  minEqual: 1,
  cycles: 12,
  cancelMs: 2000,
  context: undefined,
  only: [],
  seed: 20,
};

/** The names of the failed checks, with their reasons. */
async function failures(faulty: Faulty, changes: Partial<ValidateOptions> = {}) {
  using _ = faulty;
  const { results } = await validate({ ...options, url: faulty.url, ...changes });
  return results.filter(({ passed }) => !passed).map(({ name, reason }) => `${name}: ${reason}`);
}

test("our server passes every check", async () => {
  const { results } = await validate({ ...options, url: server.url });
  expect(results.map(({ name, passed, reason }) => (passed ? name : reason))).toEqual([
    "prefix_reuse",
    "cached_answers",
    "context_limit",
    "concurrency",
    "cancellation",
    "leaks",
  ]);
  const figures = Object.assign({}, ...results.map((result) => result.figures));
  expect(figures.concurrent_success_rate).toBe(1);
  expect(figures.context_limit_handled).toBe(true);
  expect(figures.cached_tokens).toBeGreaterThan(200);
});

test("a server without a cache fails the reuse of prefixes, by its own count", async () => {
  const [first, ...more] = await failures(withoutCache(server.url));
  expect(first).toMatch(
    /^prefix_reuse: 0 of \d+ prompt tokens came from the cache: caching is off/,
  );
  expect(more).toEqual([]);
});

test("a server that cuts prompts fails the context limit", async () => {
  const [first, ...more] = await failures(truncating(server.url, 300));
  expect(first).toMatch(
    /^context_limit: a prompt of about 589 tokens was answered and counted as \d+: it was cut/,
  );
  expect(more).toEqual([]);
});

test("a server that cuts prompts early fails where the prefix gets shorter", async () => {
  const [first] = await failures(truncating(server.url, 50), { only: ["prefix_reuse"] });
  expect(first).toMatch(/^prefix_reuse: the prompt of 256 tokens was counted as \d+: it was cut/);
});

test("a server that mixes up answers fails for cross-talk", async () => {
  const list = await failures(withCrossTalk(server.url));
  expect(list).toHaveLength(1);
  expect(list[0]).toMatch(/^concurrency: request \d+ got the answer of request \d+: cross-talk/);
});

test("a server that goes on for nobody fails the cancellation", async () => {
  const list = await failures(deafToHangUps(server.url), { only: ["cancellation"], cancelMs: 50 });
  expect(list).toEqual(["cancellation: after 50 ms requests still run that nobody waits for"]);
});

test("a server that loses requests fails the concurrency", async () => {
  const [first] = await failures(losing(server.url), { only: ["concurrency"] });
  expect(first).toMatch(/^concurrency: \d of 8 succeeded; one of them was answered 503: .*busy/);
});

test("thresholds decide", async () => {
  const strict = await validate({
    ...options,
    url: server.url,
    minCached: 1.2,
    only: ["prefix_reuse"],
  });
  expect(strict.results[0]!.passed).toBe(false);
  const lax = await failures(withoutCache(server.url), { minCached: 0, only: ["prefix_reuse"] });
  expect(lax).toEqual([]);
});

test("a wrong address and an unknown check are usage errors", async () => {
  const nobody = await validate({ ...options, url: "http://127.0.0.1:1" }).catch((e) => e);
  expect(nobody.code).toBe("unavailable");
  const unknown = await validate({ ...options, url: server.url, only: ["speed"] }).catch((e) => e);
  expect(unknown.message).toBe('there is no check "speed"');
});
