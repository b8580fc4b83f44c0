// Draws inline Markdown as elements. Nothing an answer says becomes HTML: unknown markup stays text.
import type { Token, Tokens } from "marked";
import type { ComponentChildren, VNode } from "preact";
import { decodeEntities } from "./entities.ts";
import { hiddenHost, safeAddress } from "./link.ts";

/** Elements of inline tokens. */
export function inline(tokens: readonly Token[] | undefined): ComponentChildren {
  return tokens?.map(draw);
}

function draw(token: Token): ComponentChildren {
  switch (token.type) {
    case "text":
      return token.tokens ? inline(token.tokens) : decodeEntities(token.text);
    case "escape":
      return token.text;
    case "strong":
      return <strong>{inline(token.tokens)}</strong>;
    case "em":
      return <em>{inline(token.tokens)}</em>;
    case "del":
      return <del>{inline(token.tokens)}</del>;
    case "codespan":
      return <code>{token.text}</code>;
    case "br":
      return <br />;
    case "link":
      return link(token as Tokens.Link);
    case "image":
      return image(token as Tokens.Image);
    case "html":
      return /^<br\s*\/?>$/i.test(token.raw.trim()) ? <br /> : token.raw;
    default:
      return token.raw;
  }
}

function link(token: Tokens.Link): ComponentChildren {
  const url = safeAddress(token.href, location.origin);
  if (!url) return token.raw;
  const host = hiddenHost(url, token.text);
  return (
    <>
      <a href={url.href} target="_blank" rel="noopener noreferrer" title={url.href}>
        {inline(token.tokens)}
      </a>
      {host !== undefined && <bdi class="link-host"> ({host})</bdi>}
    </>
  );
}

/** Images are never fetched: an address in an answer could carry the conversation away. */
function image(token: Tokens.Image): VNode {
  const url = safeAddress(token.href, location.origin);
  const text = `Image: ${token.text || "without description"}`;
  if (!url) return <span class="image">{text}</span>;
  return (
    <a class="image" href={url.href} target="_blank" rel="noopener noreferrer" title={url.href}>
      {text} ({url.host})
    </a>
  );
}
