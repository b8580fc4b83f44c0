// Draws Markdown blocks as elements; a block that did not change is not drawn again.
import type { Token, Tokens } from "marked";
import type { ComponentChildren, VNode } from "preact";
import { memo } from "../memo.ts";
import type { Block } from "./blocks.ts";
import { CodeBlock } from "./code.tsx";
import { inline } from "./inline.tsx";

/** Blocks in their order. */
export function Markdown({ blocks }: { readonly blocks: readonly Block[] }): VNode {
  return (
    <div class="markdown" dir="auto">
      {blocks.map(({ key, token }) => (
        <BlockView key={key} token={token} />
      ))}
    </div>
  );
}

const BlockView = memo(
  ({ token }: { readonly token: Token }) => <>{block(token)}</>,
  // The open blocks are parsed anew with each update; most of them are as they were.
  (before, now) => before.token === now.token || sameBlock(before.token, now.token),
);

/** Whether two parses gave the same block; link targets may be defined later in the text. */
function sameBlock(a: Token, b: Token): boolean {
  return a.type === b.type && a.raw === b.raw && !a.raw.includes("[");
}

function blocks(tokens: readonly Token[] | undefined): ComponentChildren {
  return tokens?.map(block);
}

function block(token: Token): ComponentChildren {
  switch (token.type) {
    case "paragraph":
      return <p>{inline(token.tokens)}</p>;
    case "text":
      return inline(token.tokens ?? [token]);
    case "heading":
      return heading(token as Tokens.Heading);
    case "code":
      return <CodeBlock text={token.text} language={token.lang} />;
    case "blockquote":
      return <blockquote>{blocks(token.tokens)}</blockquote>;
    case "list":
      return list(token as Tokens.List);
    case "table":
      return table(token as Tokens.Table);
    case "hr":
      return <hr />;
    case "checkbox":
      return <input type="checkbox" checked={token.checked} disabled aria-label="Task" />;
    case "html":
      return <p>{token.raw.trimEnd()}</p>;
    case "space":
    case "def":
      return null;
    default:
      return inline([token]);
  }
}

/** The page's own headings are h1 and h2, so those of answers start at h3. */
function heading({ depth, tokens }: Tokens.Heading): VNode {
  const Level = (["h3", "h4", "h5", "h6"] as const)[Math.min(depth, 4) - 1] ?? "h6";
  return <Level>{inline(tokens)}</Level>;
}

function list({ ordered, start, items }: Tokens.List): VNode {
  const content = items.map((item) => (
    <li class={item.task ? "task" : undefined}>{blocks(item.tokens)}</li>
  ));
  if (!ordered) return <ul>{content}</ul>;
  return <ol start={start === "" || start === 1 ? undefined : start}>{content}</ol>;
}

function table({ header, rows }: Tokens.Table): VNode {
  const cell = (Tag: "th" | "td") => (value: Tokens.TableCell) => (
    <Tag class={value.align ? `align-${value.align}` : undefined}>{inline(value.tokens)}</Tag>
  );
  return (
    // Keyboard users scroll wide tables too.
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must take the focus
    <section class="table" tabIndex={0} aria-label="Table">
      <table>
        <thead>
          <tr>{header.map(cell("th"))}</tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr>{row.map(cell("td"))}</tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
