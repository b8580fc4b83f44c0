// Streaming text: whole characters only, stop strings never leaked, the same for any tokens.
import { describe, expect, test } from "bun:test";
import { createTokenizer, Random, TextStream, type Tokenizer } from "../../core/index.ts";
import { ggufSource, goldenCases } from "./sources.ts";

const tokenizer = createTokenizer(ggufSource);

/** A tokenizer whose tokens are byte strings. */
function pieces(...texts: (string | number[])[]): Tokenizer {
  const bytes = texts.map((t) =>
    typeof t === "string" ? new TextEncoder().encode(t) : Uint8Array.from(t),
  );
  return Object.assign(Object.create(tokenizer), {
    bytes: (token: number) => bytes[token],
    isSpecial: () => false,
  });
}

function run(stream: TextStream, tokens: Iterable<number>): string[] {
  const out: string[] = [];
  for (const token of tokens) out.push(stream.push(token));
  out.push(stream.finish());
  return out;
}

describe("characters", () => {
  test("are never cut", () => {
    const emoji = [...new TextEncoder().encode("😀é")];
    const tokens = pieces(...emoji.map((byte) => [byte]));
    expect(run(new TextStream(tokens), emoji.keys())).toEqual(["", "", "", "😀", "", "é", ""]);
  });

  test("broken ones become U+FFFD, at the latest at the end", () => {
    expect(run(new TextStream(pieces([0xf0, 0x9f], "a")), [0, 1]).join("")).toBe("\ufffda");
    expect(run(new TextStream(pieces([0xe2, 0x82])), [0])).toEqual(["", "\ufffd"]);
  });

  test("the golden texts come out as decode gives them", () => {
    for (const { ids } of goldenCases) {
      for (const special of [false, true]) {
        const text = run(new TextStream(tokenizer, { special }), ids).join("");
        expect(text).toBe(tokenizer.decode(ids, { special }));
      }
    }
  });
});

describe("stop strings", () => {
  test("are held back while they may come, and released when they do not", () => {
    const stream = new TextStream(pieces("ab", "<", "/s", "x", ">"), { stop: ["</s>"] });
    expect([0, 1, 2, 3].map((token) => stream.push(token))).toEqual(["ab", "", "", "</sx"]);
    expect([1, 2, 4, 0].map((token) => stream.push(token))).toEqual(["", "", "", ""]);
    expect(stream.stopped).toBe("</s>");
    expect(stream.finish()).toBe("");
  });

  test("are given out at the end when incomplete", () => {
    const stream = new TextStream(pieces("ab", "<", "/s"), { stop: ["</s>"] });
    expect(run(stream, [0, 1, 2])).toEqual(["ab", "", "", "</s"]);
    expect(stream.stopped).toBeUndefined();
  });

  test("may overlap themselves", () => {
    const stream = new TextStream(pieces("a", "b"), { stop: ["aab"] });
    expect(run(stream, [0, 0, 0, 1, 0])).toEqual(["", "", "a", "", "", ""]);
  });

  test("can be kept in the text", () => {
    const stream = new TextStream(pieces("one\n", "two"), { stop: ["\n"], includeStop: true });
    expect(run(stream, [0, 1]).join("")).toBe("one\n");
  });

  test("the first complete wins, then the longest", () => {
    const cut = (stop: string[], text: string) => {
      const stream = new TextStream(pieces(text), { stop });
      return [run(stream, [0]).join(""), stream.stopped];
    };
    expect(cut(["abc", "b"], "xabc")).toEqual(["xa", "b"]);
    expect(cut(["b", "ab"], "xab")).toEqual(["x", "ab"]);
    expect(cut(["", "b"], "ab")).toEqual(["a", "b"]);
  });

  test("do not depend on how the text falls into tokens", () => {
    const random = new Random(5);
    const pick = (n: number) => Math.floor(random.double() * n);
    const word = (length: number) => Array.from({ length }, () => "ab😀"[pick(3)]).join("");
    for (let round = 0; round < 300; round++) {
      const text = Array.from({ length: 30 }, () => "abc"[pick(3)]).join("");
      const stop = Array.from({ length: 1 + pick(3) }, () => word(1 + pick(5)));
      const ends = stop.map((s) => [text.indexOf(s), s] as const).filter(([at]) => at >= 0);
      const key = ([at, s]: readonly [number, string]) => (at + s.length) * 100 + at;
      const first = ends.sort((a, b) => key(a) - key(b))[0];
      const chunks: string[] = [];
      for (let at = 0; at < text.length; ) {
        const end = at + 1 + pick(6);
        chunks.push(text.slice(at, end));
        at = end;
      }
      const stream = new TextStream(pieces(...chunks), { stop });
      let shown = "";
      for (const token of chunks.keys()) {
        shown += stream.push(token);
        if (!text.startsWith(shown)) throw new Error(`${shown} of ${text}`);
      }
      shown += stream.finish();
      expect(shown).toBe(first === undefined ? text : text.slice(0, first[0]));
      expect(stream.stopped).toBe(first?.[1]);
    }
  });
});
