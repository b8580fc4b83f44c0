// Short messages at the page's edge, with one action such as taking back.
import { type Signal, signal } from "@preact/signals";

export interface Toast {
  readonly text: string;
  readonly action?: { readonly label: string; run(): void };
}

export const toast: Signal<Toast | undefined> = signal(undefined);
let timer: ReturnType<typeof setTimeout> | undefined;

export function notify(text: string, action?: Toast["action"]): void {
  clearTimeout(timer);
  toast.value = { text, action };
  timer = setTimeout(dismiss, action ? 10_000 : 5000);
}

export function dismiss(): void {
  clearTimeout(timer);
  toast.value = undefined;
}
