// Which addresses of an answer may become links, and what a reader is told about them.

/**
 * The address when it may be followed: absolute http, https or mailto, and not on this server, whose
 * routes do things. Everything else is shown as text.
 */
export function safeAddress(href: string, origin: string): URL | undefined {
  let url: URL;
  try {
    url = new URL(href);
  } catch {
    return undefined;
  }
  if (!["http:", "https:", "mailto:"].includes(url.protocol)) return undefined;
  return url.origin === origin ? undefined : url;
}

/** The host to show after a link whose text does not name it. */
export function hiddenHost(url: URL, text: string): string | undefined {
  const host = url.protocol === "mailto:" ? url.pathname : url.host;
  return text.includes(host) && !/[\u202a-\u202e\u2066-\u2069]/.test(text) ? undefined : host;
}
