// The open conversation: its turns, kept scrolled to the end while an answer grows.
import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Conversation } from "../conversation.ts";
import { live } from "../run.ts";
import { IconButton } from "./icons.tsx";
import { AssistantView, UserView } from "./turn.tsx";

/** Pixels from the end within which the view follows the answer. */
const nearEnd = 48;

export function Transcript({ conversation }: { readonly conversation: Conversation }): VNode {
  const view = useRef<HTMLElement>(null);
  const follows = useRef(true);
  const away = useSignal(false);
  const toEnd = (): void => {
    const element = view.current;
    if (element) element.scrollTop = element.scrollHeight;
  };
  const scrolled = (): void => {
    const element = view.current;
    if (!element) return;
    const rest = element.scrollHeight - element.scrollTop - element.clientHeight;
    follows.current = rest < nearEnd;
    away.value = rest > nearEnd * 4;
  };
  const { id, turns, title } = conversation;
  // Runs for another conversation and another turn.
  useLayoutEffect(() => {
    follows.current = true;
    toEnd();
  }, [id, turns.length]);
  return (
    <section
      class="transcript"
      aria-label="Conversation"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must take the focus
      tabIndex={0}
      ref={view}
      onScroll={scrolled}
    >
      <h1 class="hidden">{title}</h1>
      <div class="column">
        {turns.map((turn, i) =>
          turn.role === "user" ? (
            <UserView key={turn.id} conversation={conversation} turn={turn} />
          ) : (
            <AssistantView
              key={turn.id}
              conversation={conversation}
              turn={turn}
              last={i === turns.length - 1}
            />
          ),
        )}
        <Follow move={() => follows.current && toEnd()} />
      </div>
      {away.value && <IconButton class="to-end" icon="down" label="To the end" onClick={toEnd} />}
    </section>
  );
}

/** Drawn with each update of the growing answer, after it. */
function Follow({ move }: { readonly move: () => void }): null {
  const answer = live.value?.answer;
  // Runs for each update of the answer.
  useLayoutEffect(move, [answer]);
  return null;
}
