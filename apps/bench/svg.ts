// Pieces of drawings: a document, lines of a grid, labels, logarithmic places.

export function svgDocument(width: number, height: number, parts: readonly string[]): string {
  const box = `viewBox="0 0 ${width} ${height}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${box} font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    ...parts,
    "</svg>\n",
  ].join("\n");
}

export function line(x1: number, y1: number, x2: number, y2: number, more = ""): string {
  const color = more === "" ? ' stroke="#ddd"' : more;
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"${color}/>`;
}

export function label(x: number, y: number, text: string, fontSize = 12): string {
  const plain = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x}" y="${y}" font-size="${fontSize}">${plain}</text>`;
}

/** A curve through points of a drawing. */
export function curve(points: readonly (readonly [number, number])[], color: string): string {
  const list = points.map(([x, y]) => `${x},${y}`).join(" ");
  return `<polyline points="${list}" fill="none" stroke="${color}" stroke-width="2"/>`;
}

/** Position of a value on a logarithmic axis, kept within it; to a tenth of a pixel. */
export function logPlace(
  value: number,
  low: number,
  high: number,
  from: number,
  to: number,
): number {
  return between(Math.log(value / low) / Math.log(high / low), from, to);
}

/** Position of a share 0..1 of an axis, kept within it; to a tenth of a pixel. */
export function between(share: number, from: number, to: number): number {
  return Math.round(10 * (from + Math.min(1, Math.max(0, share)) * (to - from))) / 10;
}
