// Draws a soak: resident memory, file descriptors and gaps between tokens over time.
import { between, curve, label, line, svgDocument } from "../../apps/bench/svg.ts";

/** One moment: since the start; gaps between tokens since the moment before. */
export interface Sample {
  readonly seconds: number;
  readonly resident_mib: number;
  readonly descriptors: number;
  readonly tokens_per_s: number;
  readonly gap_ms: { readonly p50: number; readonly p99: number };
}

const size = { width: 900, left: 70, right: 20, top: 50, panel: 150, space: 45 } as const;
const panels = [
  { name: "resident memory, MiB", of: (s: Sample) => s.resident_mib, color: "#1f5fb4" },
  { name: "file descriptors", of: (s: Sample) => s.descriptors, color: "#2f7d32" },
  { name: "p99 gap between tokens, ms", of: (s: Sample) => s.gap_ms.p99, color: "#b4531f" },
] as const;

/** An SVG of a panel each, from 0; x = seconds. */
export function soakPlot(samples: readonly Sample[], title: string): string {
  const end = Math.max(1, samples.at(-1)?.seconds ?? 1);
  const right = size.width - size.right;
  const x = (seconds: number): number => between(seconds / end, size.left, right);
  const parts = [label(size.left, 24, title, 15)];
  for (const [i, { name, of, color }] of panels.entries()) {
    const top = size.top + i * (size.panel + size.space);
    const floor = top + size.panel;
    const most = 1.1 * Math.max(1, ...samples.map(of));
    const y = (value: number): number => between(value / most, floor, top);
    for (const share of [0, 0.5, 1]) {
      const value = most * share;
      parts.push(line(size.left, y(value), right, y(value)));
      parts.push(label(8, y(value) + 4, String(Math.round(value))));
    }
    const points = samples.map((s) => [x(s.seconds), y(of(s))] as const);
    parts.push(label(size.left + 8, top - 6, name), curve(points, color));
  }
  const bottom = size.top + panels.length * (size.panel + size.space);
  parts.push(label(size.left, bottom - 20, `0 to ${Math.round(end)} seconds`));
  return svgDocument(size.width, bottom, parts);
}
