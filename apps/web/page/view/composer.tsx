// Where a message is written and sent, and an answer stopped.
import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { busy, send, stop } from "../run.ts";
import { status } from "../server.ts";
import { currentId } from "../store.ts";
import { Icon } from "./icons.tsx";

export function Composer(): VNode {
  const text = useSignal("");
  const area = useRef<HTMLTextAreaElement>(null);
  const conversation = currentId.value;
  // Runs for each conversation that is opened.
  useEffect(() => {
    // On a touch screen the focus would open the keyboard over the conversation.
    if (matchMedia("(pointer: fine)").matches) area.current?.focus();
  }, [conversation]);
  const ready = status.value === "ready";
  const submit = (): void => {
    if (busy.value || !ready || text.value.trim() === "") return;
    send(text.value);
    text.value = "";
  };
  const press = (event: KeyboardEvent): void => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  };
  return (
    <form
      class="composer column"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <div class="grow" data-text={`${text.value} `}>
        <textarea
          ref={area}
          rows={1}
          placeholder="Write a message"
          aria-label="Message"
          aria-describedby="composer-help"
          value={text.value}
          onInput={(event) => {
            text.value = event.currentTarget.value;
          }}
          onKeyDown={press}
        />
      </div>
      <span id="composer-help" class="hidden">
        Enter sends, Shift and Enter begin a new line, Escape stops an answer.
      </span>
      {busy.value ? (
        <button type="button" class="round" aria-label="Stop" title="Stop (Esc)" onClick={stop}>
          <Icon name="stop" />
        </button>
      ) : (
        <button
          type="submit"
          class="round"
          aria-label="Send"
          title="Send (Enter)"
          disabled={!ready || text.value.trim() === ""}
        >
          <Icon name="send" />
        </button>
      )}
    </form>
  );
}
