// The page pool and prefix tree: worked cases, and random operations against a naive model.
import { describe, expect, test } from "bun:test";
import { type PageNode, PagePool } from "../../core/engine/pages.ts";

const size = 4;
const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i);

/** Allocates and publishes pages for `tokens` as a sequence would; returns its pages. */
function fill(pool: PagePool, tokens: readonly number[], salt = ""): PageNode[] {
  const nodes: PageNode[] = [];
  for (let at = 0; at < tokens.length; at += size) {
    const page = pool.allocate();
    if (page === undefined) throw new Error("out of pages");
    const node = pool.publish(page, tokens.slice(at, at + size), nodes.at(-1), salt);
    if (node.page !== page) pool.release(page);
    nodes.push(node);
  }
  return nodes;
}

const release = (pool: PagePool, nodes: readonly PageNode[]): void => {
  for (const node of nodes) pool.release(node.page);
};

describe("prefix matches", () => {
  test("an empty pool matches nothing", () => {
    const pool = new PagePool(4, size);
    expect(pool.match([1, 2, 3], 3, "").tokens).toBe(0);
  });

  test("an exact, a longer and a shorter prompt", () => {
    const pool = new PagePool(8, size);
    release(pool, fill(pool, range(0, 8)));
    expect(pool.match(range(0, 8), 8, "").nodes.length).toBe(2);
    expect(pool.match(range(0, 20), 20, "").tokens).toBe(8);
    expect(pool.match(range(0, 6), 6, "")).toMatchObject({ tokens: 6, partialTokens: 2 });
  });

  test("the limit leaves the last token to be computed", () => {
    const pool = new PagePool(8, size);
    release(pool, fill(pool, range(0, 8)));
    const match = pool.match(range(0, 8), 7, "");
    expect(match.nodes.length).toBe(1);
    expect(match.partialTokens).toBe(3);
  });

  test("a split inside a page shares the tokens before it", () => {
    const pool = new PagePool(8, size);
    release(pool, fill(pool, [1, 2, 3, 4, 5, 6, 7, 8]));
    release(pool, fill(pool, [1, 2, 3, 4, 5, 6, 9, 9]));
    const match = pool.match([1, 2, 3, 4, 5, 6, 9, 1], 8, "");
    expect(match.nodes.length).toBe(1);
    expect(match.partial?.tokens).toEqual([5, 6, 9, 9]);
    expect(match.partialTokens).toBe(3);
  });

  test("other salts see nothing", () => {
    const pool = new PagePool(8, size);
    release(pool, fill(pool, range(0, 8), "a"));
    expect(pool.match(range(0, 8), 8, "b").tokens).toBe(0);
    expect(pool.match(range(0, 8), 8, "a").tokens).toBe(8);
  });

  test("equal pages of two sequences become one", () => {
    const pool = new PagePool(8, size);
    const a = fill(pool, range(0, 8));
    const b = fill(pool, range(0, 8));
    expect(b.map((node) => node.page)).toEqual(a.map((node) => node.page));
    expect(pool.stats).toEqual({ total: 8, free: 6, cached: 0 });
    release(pool, a);
    release(pool, b);
    expect(pool.stats).toEqual({ total: 8, free: 6, cached: 2 });
  });

  test("8,000 tokens match in full", () => {
    const pool = new PagePool(2000, size);
    release(pool, fill(pool, range(0, 8000)));
    expect(pool.match(range(0, 8000), 8000, "").tokens).toBe(8000);
  });
});

describe("eviction", () => {
  test("the least recently used prefix goes first, leaves before their parents", () => {
    const pool = new PagePool(4, size);
    release(pool, fill(pool, range(0, 8)));
    release(pool, fill(pool, range(100, 108)));
    pool.match(range(0, 8), 8, "");
    expect(pool.allocate()).toBeDefined();
    expect(pool.match(range(100, 108), 8, "").tokens).toBe(4);
    expect(pool.match(range(0, 8), 8, "").tokens).toBe(8);
  });

  test("a page in use is never evicted", () => {
    const pool = new PagePool(2, size);
    const nodes = fill(pool, range(0, 8));
    expect(pool.allocate()).toBeUndefined();
    release(pool, nodes);
    expect(pool.allocate()).toBeDefined();
  });

  test("more distinct prompts than pages", () => {
    const pool = new PagePool(16, size);
    for (let i = 0; i < 40; i++) release(pool, fill(pool, range(i * 100, i * 100 + 4)));
    expect(pool.stats).toEqual({ total: 16, free: 0, cached: 16 });
    expect(pool.match(range(3900, 3904), 4, "").tokens).toBe(4);
    expect(pool.match(range(0, 4), 4, "").tokens).toBe(0);
  });

  test("clear forgets what nobody uses", () => {
    const pool = new PagePool(8, size);
    const kept = fill(pool, range(0, 4));
    release(pool, fill(pool, range(50, 58)));
    expect(pool.clear()).toBe(2);
    expect(pool.match(range(0, 4), 4, "").tokens).toBe(4);
    release(pool, kept);
  });
});

test("releasing a page twice is refused", () => {
  const pool = new PagePool(2, size);
  const page = pool.allocate() as number;
  pool.release(page);
  expect(() => pool.release(page)).toThrow("released once too often");
});

test("clearing forgets chains and branches, and keeps what a sequence uses", () => {
  const pool = new PagePool(4000, size);
  const nodes = fill(pool, range(0, 3000 * size));
  const branch = fill(pool, [...range(0, 8), 77, 78, 79, 80]);
  release(pool, nodes);
  release(pool, branch.slice(2));
  expect(pool.clear()).toBe(2999);
  expect(pool.match(range(0, 40), 40, "").tokens).toBe(8);
  release(pool, branch.slice(0, 2));
  expect(pool.clear()).toBe(2);
  expect(pool.stats).toEqual({ total: 4000, free: 4000, cached: 0 });
});
