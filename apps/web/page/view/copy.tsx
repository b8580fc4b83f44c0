// A button that copies text and says that it did.
import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useRef } from "preact/hooks";
import { notify } from "../toast.ts";
import { Icon } from "./icons.tsx";

export function CopyButton(props: { readonly text: string; readonly what: string }): VNode {
  const copied = useSignal(false);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const copy = async (): Promise<void> => {
    if (!(await copyText(props.text))) return notify("The browser did not allow copying.");
    copied.value = true;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      copied.value = false;
    }, 2000);
  };
  const label = copied.value ? "Copied" : `Copy ${props.what}`;
  return (
    <button type="button" class="icon-button copy" aria-label={label} title={label} onClick={copy}>
      <Icon name={copied.value ? "check" : "copy"} />
    </button>
  );
}

/** Copies text; plain http to another machine has no clipboard interface, so there the old way is used. */
async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "hidden";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
