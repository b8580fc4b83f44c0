// The pool of KV-cache pages and the prefix tree over them: reference counts, LRU eviction, sharing.
import { assert } from "../errors.ts";

/** A page whose positions hold a known run of tokens after the tokens of its ancestors. */
export interface PageNode {
  readonly page: number;
  readonly parent: PageNode | undefined;
  /** 1..pagePositions token ids; grows while its sequence still writes the page. */
  tokens: number[];
  /** Children by their first token. */
  readonly children: Map<number, PageNode[]>;
  lastUse: number;
}

export interface PrefixMatch {
  /** Full pages that may be shared, in order. */
  readonly nodes: readonly PageNode[];
  /** A page whose first `partialTokens` positions may be copied, after `nodes`. */
  readonly partial: PageNode | undefined;
  readonly partialTokens: number;
  /** Tokens covered in all. */
  readonly tokens: number;
}

export interface PageStats {
  readonly total: number;
  /** Pages that hold nothing. */
  readonly free: number;
  /** Pages that hold a cached prefix that no sequence uses: given up when needed. */
  readonly cached: number;
}

/**
 * Fixed-size pages shared by all sequences (PagedAttention, arXiv 2309.06180) with a radix tree of
 * their contents (RadixAttention, arXiv 2312.07104). Knows page numbers only; the bytes are elsewhere.
 */
export class PagePool {
  readonly pagePositions: number;
  readonly total: number;
  readonly #references: Int32Array;
  readonly #free: number[] = [];
  /** The tree node of a page, if its content is known to the tree. */
  readonly #nodes: (PageNode | undefined)[];
  /** Roots by cache salt: sequences of different salts never share. */
  readonly #roots = new Map<string, PageNode>();
  #clock = 0;
  #cached = 0;

  constructor(total: number, pagePositions: number) {
    assert(Number.isInteger(total) && total > 0, "a pool has at least one page");
    this.total = total;
    this.pagePositions = pagePositions;
    this.#references = new Int32Array(total);
    this.#nodes = new Array(total).fill(undefined);
    for (let page = total - 1; page >= 0; page--) this.#free.push(page);
  }

  get stats(): PageStats {
    return { total: this.total, free: this.#free.length, cached: this.#cached };
  }

  /** Pages that `allocate` can still give. */
  get available(): number {
    return this.#free.length + this.#cached;
  }

  /** A page with one reference; evicts the least recently used cached page. undefined: all are in use. */
  allocate(): number | undefined {
    let page = this.#free.pop();
    if (page === undefined) {
      const victim = this.#leastRecentlyUsed();
      if (!victim) return undefined;
      this.#detach(victim);
      page = this.#free.pop();
      assert(page !== undefined, "eviction frees a page");
    }
    assert(this.#references[page] === 0, "a free page has no references");
    this.#references[page] = 1;
    return page;
  }

  retain(page: number): void {
    const count = this.#references[page] as number;
    if (count === 0) {
      assert(this.#nodes[page], "only a cached page can be taken up again");
      this.#cached--;
    }
    this.#references[page] = count + 1;
  }

  /** Drops a reference; the page's content stays cached if the tree knows it. */
  release(page: number): void {
    const count = this.#references[page] as number;
    assert(count > 0, `page ${page} is released once too often`);
    this.#references[page] = count - 1;
    if (count > 1) return;
    if (this.#nodes[page]) this.#cached++;
    else this.#free.push(page);
  }

  /** The longest cached prefix of tokens[0..limit), at most; touches what it finds. */
  match(tokens: readonly number[], limit: number, salt: string): PrefixMatch {
    const nodes: PageNode[] = [];
    let node = this.#roots.get(salt);
    let covered = 0;
    let partial: PageNode | undefined;
    let partialTokens = 0;
    this.#clock++;
    while (node && covered < limit) {
      const best = bestChild(node, tokens, covered, limit);
      if (!best) break;
      best.node.lastUse = this.#clock;
      if (best.count < this.pagePositions) {
        partial = best.node;
        partialTokens = best.count;
        break;
      }
      nodes.push(best.node);
      covered += this.pagePositions;
      node = best.node;
    }
    return { nodes, partial, partialTokens, tokens: covered + partialTokens };
  }

  /**
   * Makes a page's content known: `tokens` at its first positions, after `parent`'s pages. Where an
   * equal full page is known already, that one is returned with a reference taken, and the caller
   * gives up its own.
   */
  publish(
    page: number,
    tokens: readonly number[],
    parent: PageNode | undefined,
    salt: string,
  ): PageNode {
    assert(tokens.length > 0 && tokens.length <= this.pagePositions, "a page holds 1..n tokens");
    const own = this.#nodes[page];
    const above = parent ?? this.#root(salt);
    const first = tokens[0] as number;
    const siblings = above.children.get(first) ?? [];
    if (tokens.length === this.pagePositions) {
      const twin = siblings.find((node) => node !== own && sameTokens(node.tokens, tokens));
      if (twin) {
        this.retain(twin.page);
        twin.lastUse = ++this.#clock;
        return twin;
      }
    }
    if (own) {
      own.tokens = [...tokens];
      own.lastUse = ++this.#clock;
      return own;
    }
    const node: PageNode = {
      page,
      parent: above,
      tokens: [...tokens],
      children: new Map(),
      lastUse: ++this.#clock,
    };
    siblings.push(node);
    above.children.set(first, siblings);
    this.#nodes[page] = node;
    return node;
  }

  /** Forgets every cached page that no sequence uses. Returns how many. */
  clear(): number {
    const before = this.#cached;
    for (const start of [...this.#nodes]) {
      // A leaf, then its ancestors as they become leaves: each page is looked at about once.
      let node = start;
      while (node && node.page >= 0 && node === this.#nodes[node.page]) {
        if (node.children.size > 0 || this.#references[node.page] !== 0) break;
        this.#detach(node);
        node = node.parent;
      }
    }
    return before - this.#cached;
  }

  #root(salt: string): PageNode {
    let root = this.#roots.get(salt);
    if (!root) {
      root = { page: -1, parent: undefined, tokens: [], children: new Map(), lastUse: 0 };
      this.#roots.set(salt, root);
    }
    return root;
  }

  /** A leaf without references; leaves first, so that a kept page never loses its ancestors. */
  #leastRecentlyUsed(): PageNode | undefined {
    if (this.#cached === 0) return undefined;
    let victim: PageNode | undefined;
    for (const node of this.#nodes) {
      if (!node || node.children.size > 0 || this.#references[node.page] !== 0) continue;
      if (!victim || node.lastUse < victim.lastUse) victim = node;
    }
    return victim;
  }

  #detach(node: PageNode): void {
    const above = node.parent;
    assert(above, "a page node has a parent");
    const first = node.tokens[0] as number;
    const siblings = (above.children.get(first) ?? []).filter((other) => other !== node);
    if (siblings.length > 0) above.children.set(first, siblings);
    else above.children.delete(first);
    if (above.page < 0 && above.children.size === 0) {
      for (const [salt, root] of this.#roots) if (root === above) this.#roots.delete(salt);
    }
    this.#nodes[node.page] = undefined;
    this.#cached--;
    this.#free.push(node.page);
  }
}

function bestChild(
  node: PageNode,
  tokens: readonly number[],
  start: number,
  limit: number,
): { node: PageNode; count: number } | undefined {
  let best: { node: PageNode; count: number } | undefined;
  for (const child of node.children.get(tokens[start] as number) ?? []) {
    let count = 0;
    const most = Math.min(child.tokens.length, limit - start);
    while (count < most && child.tokens[count] === tokens[start + count]) count++;
    if (count > (best?.count ?? 0)) best = { node: child, count };
  }
  return best;
}

function sameTokens(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((token, i) => token === b[i]);
}
