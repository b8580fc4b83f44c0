// Draws the roofline of a run: speed over arithmetic intensity, under what the machine allows.
import type { Measurement } from "./measure.ts";
import { type BenchReport, testName } from "./report.ts";
import { curve, label, line, logPlace, svgDocument } from "./svg.ts";

const size = { width: 760, height: 460, left: 70, right: 190, top: 40, bottom: 60 };
/** GMAC/s per decade of the vertical axis; multiply-adds per byte of the horizontal one. */
const axes = { x: [1, 10_000], y: [10, 10_000] } as const;
const colors = { prefill: "#b4531f", decode: "#1f5fb4" };

/**
 * An SVG: x = int8 multiply-adds per byte read, y = 10^9 multiply-adds a second, both logarithmic
 * (S. Williams et al., Roofline, 2009).
 */
export function roofline(
  report: BenchReport,
  results: readonly Measurement[],
  title: string,
): string {
  const { read_gbps: gbps, int8_gmacs: peak } = report.machine;
  const ridge = peak / gbps;
  const roof = [
    [px(axes.x[0]), py(gbps * axes.x[0])],
    [px(ridge), py(peak)],
    [px(axes.x[1]), py(peak)],
  ] as const;
  const parts = [
    ...grid(),
    curve(roof, "#333"),
    label(px(ridge) + 8, py(peak) - 8, `int8 peak ${peak.toFixed(0)} GMAC/s`),
    label(px(axes.x[0]) + 8, py(gbps * 1.4) - 14, `read ${gbps.toFixed(1)} GB/s`),
    ...points(results),
    label(size.left, 22, title, 15),
    label(size.left + 120, size.height - 14, "int8 multiply-adds per byte read"),
    `<text transform="translate(18,300) rotate(-90)" font-size="12">GMAC/s</text>`,
  ];
  return svgDocument(size.width, size.height, parts);
}

function points(results: readonly Measurement[]): string[] {
  return results.flatMap((result, i) => {
    const { bytes, macs } = result.traffic;
    const x = px(macs / bytes);
    const y = py(macs / result.milliseconds / 1e6);
    const color = colors[result.test];
    const row = size.top + 16 * i;
    const name = `${i + 1} ${testName(result)}`;
    return [
      `<circle cx="${x}" cy="${y}" r="5" fill="${color}"/>`,
      label(x + 7, y + 4, String(i + 1)),
      label(size.width - size.right + 12, row, name),
    ];
  });
}

function grid(): string[] {
  const lines: string[] = [];
  const [left, bottom] = [size.left, size.height - size.bottom];
  const right = size.width - size.right;
  for (let x = axes.x[0]; x <= axes.x[1]; x *= 10) {
    lines.push(line(px(x), size.top, px(x), bottom), label(px(x) - 6, bottom + 18, String(x)));
  }
  for (let y = axes.y[0]; y <= axes.y[1]; y *= 10) {
    lines.push(line(left, py(y), right, py(y)), label(left - 42, py(y) + 4, String(y)));
  }
  return lines;
}

function px(value: number): number {
  const [low, high] = axes.x;
  return logPlace(value, low, high, size.left, size.width - size.right);
}

function py(value: number): number {
  const [low, high] = axes.y;
  return logPlace(value, low, high, size.height - size.bottom, size.top);
}
