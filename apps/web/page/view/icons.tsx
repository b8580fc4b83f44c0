// The page's icons, drawn with strokes in the text's colour.
import type { VNode } from "preact";

const paths = {
  chats: "M4 6h16M4 12h16M4 18h10",
  close: "M6 6l12 12M18 6L6 18",
  sliders:
    "M4 8h8M16 8h4M12 8a2 2 0 1 0 4 0 2 2 0 1 0-4 0M4 16h2M10 16h10M6 16a2 2 0 1 0 4 0 2 2 0 1 0-4 0",
  plus: "M12 5v14M5 12h14",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  copy: "M9 9h10v10H9zM15 9V5H5v10h4",
  check: "M5 12.5l4.5 4.5L19 7.5",
  edit: "M5 19h3.5L19 8.5 15.5 5 5 15.5zM13 7.5l3.5 3.5",
  redo: "M19 12a7 7 0 1 1-2.2-5.1M19 4v4.5h-4.5",
  play: "M6 5v14M11 7l7 5-7 5z",
  trash: "M5 7h14M10 7V4.5h4V7M7 7l1 12.5h8L17 7M10.5 10.5v6M13.5 10.5v6",
  download: "M12 4v11M7.5 10.5L12 15l4.5-4.5M5 19.5h14",
  upload: "M12 15V4M7.5 8.5L12 4l4.5 4.5M5 19.5h14",
  down: "M12 5v14M6 13l6 6 6-6",
  left: "M14.5 6L8.5 12l6 6",
  right: "M9.5 6l6 6-6 6",
  tokens: "M4 18V12M9.3 18V6M14.6 18v-4M20 18V9",
  light:
    "M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6L7 7M17 17l1.4 1.4M18.4 5.6L17 7M7 17l-1.4 1.4M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z",
  dark: "M19 14.5A7.5 7.5 0 0 1 9.5 5 7.5 7.5 0 1 0 19 14.5z",
  system: "M4 5h16v11H4zM9 20h6M12 16v4",
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { readonly name: IconName }): VNode {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}

/** The three values of a ternary weight: below, on and above the line. */
export function Logo(): VNode {
  return (
    <svg class="logo" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <rect class="logo-ground" width="24" height="24" rx="6" />
      <rect x="5" y="13" width="3" height="6" rx="1.5" />
      <rect x="10.5" y="10.5" width="3" height="3" rx="1.5" />
      <rect x="16" y="5" width="3" height="6" rx="1.5" />
    </svg>
  );
}

/** A button that shows only an icon; its label is read and shown on hover. */
export function IconButton(props: {
  readonly icon: IconName;
  readonly label: string;
  readonly onClick: () => void;
  readonly disabled?: boolean;
  readonly pressed?: boolean;
  readonly expanded?: boolean;
  readonly class?: string;
}): VNode {
  return (
    <button
      type="button"
      class={`icon-button ${props.class ?? ""}`}
      aria-label={props.label}
      aria-pressed={props.pressed}
      aria-expanded={props.expanded}
      title={props.label}
      disabled={props.disabled}
      onClick={props.onClick}
    >
      <Icon name={props.icon} />
    </button>
  );
}
