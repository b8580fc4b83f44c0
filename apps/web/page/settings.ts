// What the person set: theme, sampling, key. Kept in the browser's local storage.
import { effect, type Signal, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

export interface Settings {
  readonly theme: Theme;
  /** Request fields that differ from the server's defaults: sampling options, max_tokens, seed. */
  readonly sampling: Readonly<Record<string, unknown>>;
  /** Ask for the tokens' probabilities. */
  readonly probabilities: boolean;
  /** System prompt of new conversations. */
  readonly system: string;
  readonly apiKey: string;
  /** Name of the chosen model; empty: the server's first. */
  readonly model: string;
  readonly panel: boolean;
}

const defaults: Settings = {
  theme: "system",
  sampling: {},
  probabilities: false,
  system: "",
  apiKey: "",
  model: "",
  panel: false,
};

const key = "wrinklefree.settings";

function stored(): Settings {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(key) ?? "{}");
    if (typeof value !== "object" || value === null) return defaults;
    const known = Object.entries(defaults).map(([name, fallback]) => {
      const own = (value as Record<string, unknown>)[name];
      return [name, typeof own === typeof fallback && own !== null ? own : fallback];
    });
    return Object.fromEntries(known) as Settings;
  } catch {
    return defaults;
  }
}

export const settings: Signal<Settings> = signal(stored());

export function change(part: Partial<Settings>): void {
  settings.value = { ...settings.value, ...part };
}

/** Sets one request field; undefined takes the server's default again. */
export function setSampling(name: string, value: unknown): void {
  const { [name]: _, ...others } = settings.value.sampling;
  change({ sampling: value === undefined ? others : { ...others, [name]: value } });
}

effect(() => {
  const value = settings.value;
  const root = document.documentElement;
  if (value.theme === "system") root.removeAttribute("data-theme");
  else root.setAttribute("data-theme", value.theme);
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Private windows may refuse storage; the page works without it.
  }
});
