// Draws open-loop results: time to first token and goodput over the offered rate.
import { between, curve, label, line, logPlace, svgDocument } from "../svg.ts";
import type { OpenLoopResult } from "./open-loop.ts";

const size = {
  width: 900,
  height: 380,
  top: 50,
  bottom: 50,
  panel: 330,
  lefts: [70, 510],
} as const;
const floor = size.height - size.bottom;
const colors = { p50: "#1f5fb4", p99: "#b4531f", good: "#2f7d32", limit: "#999" };
/** Milliseconds of the left vertical axis. */
const times = [10, 100_000] as const;

/** An SVG of two panels; x = requests a second offered, linear from 0. */
export function loadPlot(
  results: readonly OpenLoopResult[],
  deadlineMs: number,
  title: string,
): string {
  const most = Math.max(...results.map(({ rate }) => rate));
  const x = (panel: 0 | 1, rate: number): number =>
    between(rate / most, size.lefts[panel], size.lefts[panel] + size.panel);
  const ms = (value: number): number => logPlace(Math.max(1e-3, value), ...times, floor, size.top);
  const rate = (value: number): number => between(value / most, floor, size.top);
  const through = (panel: 0 | 1, y: (result: OpenLoopResult) => number) =>
    results.map((result) => [x(panel, result.rate), y(result)] as const);
  const dashed = ` stroke="${colors.limit}" stroke-dasharray="5 4"`;
  const [left, right] = size.lefts;
  const limit = ms(deadlineMs);
  return svgDocument(size.width, size.height, [
    label(left, 24, title, 15),
    ...grid(most, x, ms, rate),
    line(left, limit, left + size.panel, limit, dashed),
    curve(
      through(0, (result) => ms(result.ttft_ms.p50)),
      colors.p50,
    ),
    curve(
      through(0, (result) => ms(result.ttft_ms.p99)),
      colors.p99,
    ),
    label(left + 8, size.top + 14, "first token, ms: p50 blue, p99 brown, deadline dashed"),
    line(x(1, 0), rate(0), x(1, most), rate(most), dashed),
    curve(
      through(1, (result) => rate(result.goodput_per_s)),
      colors.good,
    ),
    label(right + 8, size.top + 14, "good answers a second; dashed: all of them"),
  ]);
}

function grid(
  most: number,
  x: (panel: 0 | 1, rate: number) => number,
  ms: (value: number) => number,
  rate: (value: number) => number,
): string[] {
  const parts: string[] = [];
  for (let value = times[0]; value <= times[1]; value *= 10) {
    const [y, left] = [ms(value), size.lefts[0]];
    parts.push(line(left, y, left + size.panel, y), label(left - 52, y + 4, String(value)));
  }
  for (let i = 0; i <= 4; i++) {
    const value = (most * i) / 4;
    const text = String(Math.round(value * 100) / 100);
    const [y, right] = [rate(value), size.lefts[1]];
    parts.push(line(right, y, right + size.panel, y), label(right - 40, y + 4, text));
    for (const panel of [0, 1] as const) parts.push(label(x(panel, value) - 6, floor + 18, text));
  }
  for (const left of size.lefts)
    parts.push(label(left + 90, floor + 38, "requests a second offered"));
  return parts;
}
