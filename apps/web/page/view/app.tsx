// The whole page: conversations at the left, the open one in the middle, settings at the right.
import { type Signal, signal, useSignalEffect } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { shownAnswer } from "../conversation.ts";
import { busy, stop } from "../run.ts";
import { connect, model, models, refusal, status } from "../server.ts";
import { change, settings } from "../settings.ts";
import { current, opened } from "../store.ts";
import { dismiss, toast } from "../toast.ts";
import { Composer } from "./composer.tsx";
import { IconButton } from "./icons.tsx";
import { KeyField, Panel } from "./panel.tsx";
import { Sidebar } from "./sidebar.tsx";
import { Transcript } from "./transcript.tsx";
import { Welcome } from "./welcome.tsx";

/** Whether a media query matches, now and later. */
function media(query: string): Signal<boolean> {
  const list = matchMedia(query);
  const value = signal(list.matches);
  list.addEventListener("change", () => {
    value.value = list.matches;
  });
  return value;
}

// The style sheet has the same widths.
const roomForSidebar = media("(min-width: 56rem)");
const roomForPanel = media("(min-width: 78rem)");
/** What lies over the conversation where there is no room beside it. */
const over: Signal<"none" | "sidebar" | "panel"> = signal("none");

export function App(): VNode {
  const panelOpen = roomForPanel.value ? settings.value.panel : over.value === "panel";
  const covered =
    (over.value === "sidebar" && !roomForSidebar.value) ||
    (over.value === "panel" && !roomForPanel.value);
  useKeys();
  const opener = useRef<Element>(null);
  const cover = (what: "sidebar" | "panel"): void => {
    opener.current = document.activeElement;
    over.value = what;
  };
  const uncover = (): void => {
    over.value = "none";
    (opener.current as HTMLElement | null)?.focus();
  };
  const togglePanel = (): void => {
    if (roomForPanel.value) change({ panel: !settings.value.panel });
    else if (over.value === "panel") uncover();
    else cover("panel");
  };
  useEffect(() => {
    if (covered) document.querySelector<HTMLElement>(`#${over.value} button`)?.focus();
  }, [covered]);
  return (
    <div class={`app over-${covered ? over.value : "none"} ${panelOpen ? "with-panel" : ""}`}>
      {(roomForSidebar.value || over.value === "sidebar") && (
        <Sidebar onOpen={uncover} onClose={uncover} />
      )}
      <main inert={covered}>
        <Header
          onChats={() => cover("sidebar")}
          onPanel={togglePanel}
          panelOpen={panelOpen}
          narrow={!roomForSidebar.value}
        />
        <Notice />
        <Content />
        <Composer />
      </main>
      {panelOpen && <Panel onClose={togglePanel} />}
      {covered && <button type="button" class="scrim" aria-label="Close" onClick={uncover} />}
      <Announcer />
      <ToastView />
    </div>
  );
}

function Content(): VNode {
  const conversation = current.value;
  if (!opened.value) return <section class="transcript" aria-label="Conversation" />;
  return conversation && conversation.turns.length > 0 ? (
    <Transcript conversation={conversation} />
  ) : (
    <Welcome />
  );
}

/** Escape closes what lies over the page, or else stops the answer. */
function useKeys(): void {
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      if (over.value !== "none") over.value = "none";
      else stop();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

function Header(props: {
  readonly onChats: () => void;
  readonly onPanel: () => void;
  readonly panelOpen: boolean;
  readonly narrow: boolean;
}): VNode {
  return (
    <header class="bar">
      {props.narrow && (
        <IconButton icon="chats" label="Conversations" expanded={false} onClick={props.onChats} />
      )}
      <ModelName />
      <IconButton
        icon="sliders"
        label="Settings"
        expanded={props.panelOpen}
        onClick={props.onPanel}
      />
    </header>
  );
}

function ModelName(): VNode {
  const list = models.value;
  const dot = <span class={`dot ${status.value}`} />;
  if (list.length < 2) {
    return (
      <p class="model-name">
        {dot} {model.value?.id ?? ""}
        <span class="hidden">, {status.value}</span>
      </p>
    );
  }
  return (
    <p class="model-name">
      {dot}
      <select aria-label="Model" onChange={(event) => change({ model: event.currentTarget.value })}>
        {list.map(({ id }) => (
          <option key={id} selected={id === model.value?.id}>
            {id}
          </option>
        ))}
      </select>
    </p>
  );
}

/** What keeps the page from working, if anything does. */
function Notice(): VNode | null {
  switch (status.value) {
    case "ready":
    case "connecting":
      return null;
    case "loading":
      return <p class="notice column">The model is loading; you can write meanwhile.</p>;
    case "unreachable":
      return (
        <p class="notice error column" role="alert">
          The server cannot be reached. Start it again; this page will notice.
        </p>
      );
    case "failed":
      return (
        <p class="notice error column" role="alert">
          {refusal.value}
        </p>
      );
    case "key":
      return (
        <form
          class="notice column"
          onSubmit={(event) => {
            event.preventDefault();
            void connect();
          }}
        >
          <p>This server asks for a key ({refusal.value}).</p>
          <KeyField />
          <button type="submit" class="button primary">
            Connect
          </button>
        </form>
      );
  }
}

/** Tells screen readers that an answer began, and reads it when it is whole. */
function Announcer(): VNode {
  const text = useRef(signal("")).current;
  const was = useRef(false);
  useSignalEffect(() => {
    const now = busy.value;
    if (now && !was.current) text.value = "Answering.";
    if (!now && was.current) {
      const last = current.peek()?.turns.at(-1);
      if (last?.role === "assistant") text.value = shownAnswer(last).text.slice(0, 4000);
    }
    was.current = now;
  });
  return (
    <div class="hidden" role="status" aria-live="polite">
      {text.value}
    </div>
  );
}

function ToastView(): VNode {
  const shown = toast.value;
  return (
    <div class="toasts" role="status">
      {shown && (
        <div class="toast">
          <span>{shown.text}</span>
          {shown.action && (
            <button
              type="button"
              class="button"
              onClick={() => {
                dismiss();
                shown.action?.run();
              }}
            >
              {shown.action.label}
            </button>
          )}
          <IconButton icon="close" label="Dismiss" onClick={dismiss} />
        </div>
      )}
    </div>
  );
}
