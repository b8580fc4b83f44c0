// Prometheus metrics as data: families of samples, written as text and renamed for other engines' dashboards.
import type { Registry } from "prom-client";

export interface Sample {
  /** What follows the family's name: "", "_bucket", "_sum", "_count". */
  readonly suffix: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** A family of one number. */
export function single(
  name: string,
  type: "counter" | "gauge",
  help: string,
  value: number,
): Family {
  return { name, type, help, samples: [{ suffix: "", labels: {}, value }] };
}

/** What prom-client has counted. */
export async function familiesOf(registry: Registry): Promise<Family[]> {
  const metrics = await registry.getMetricsAsJSON();
  return metrics.map(({ name, help, type, values }) => ({
    name,
    help,
    type: type as unknown as Family["type"],
    samples: values.map((value) => ({
      suffix: ((value as { metricName?: string }).metricName ?? name).slice(name.length),
      labels: value.labels as Sample["labels"],
      value: value.value,
    })),
  }));
}

/** The text of version 0.0.4 of Prometheus' exposition format. */
export function exposition(families: readonly Family[]): string {
  const lines = families.flatMap(({ name, type, help, samples }) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...samples.map(({ suffix, labels, value }) => `${name}${suffix}${labelText(labels)} ${value}`),
  ]);
  return lines.map((line) => `${line}\n`).join("");
}

function labelText(labels: Sample["labels"]): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

function escaped(value: string | number): string {
  return String(value).replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

/** A family under another name and labels; samples that become the same are added up. */
export function renamed(
  family: Family,
  name: string,
  relabel: (labels: Sample["labels"]) => Sample["labels"],
): Family {
  const merged = new Map<string, Sample>();
  for (const sample of family.samples) {
    const labels = relabel(sample.labels);
    const key = sample.suffix + labelText(labels);
    const value = (merged.get(key)?.value ?? 0) + sample.value;
    merged.set(key, { suffix: sample.suffix, labels, value });
  }
  return { ...family, name, samples: [...merged.values()] };
}
