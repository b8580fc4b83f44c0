// One turn of a conversation, with what can be done about it.
import { type Signal, useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import {
  type Answer,
  type AssistantTurn,
  type Conversation,
  shownAnswer,
  type UserTurn,
} from "../conversation.ts";
import { memo } from "../memo.ts";
import { busy, type Live, live, regenerate, resend, resume } from "../run.ts";
import { setTurns } from "../store.ts";
import { AnswerText, endNote } from "./answer.tsx";
import { CopyButton } from "./copy.tsx";
import { IconButton } from "./icons.tsx";
import { Stats } from "./stats.tsx";
import { Tokens } from "./tokens.tsx";

export function UserView(props: {
  readonly conversation: Conversation;
  readonly turn: UserTurn;
}): VNode {
  const editing = useSignal(false);
  const { conversation, turn } = props;
  if (editing.value) {
    const done = (text?: string): void => {
      editing.value = false;
      if (text !== undefined) resend(conversation, turn.id, text);
    };
    return <Edit text={turn.text} onDone={done} />;
  }
  return (
    <article class="turn user" aria-label="You">
      <div class="said" dir="auto">
        {turn.text}
      </div>
      <div class="actions">
        <CopyButton text={turn.text} what="message" />
        <IconButton
          icon="edit"
          label="Edit and resend"
          disabled={busy.value}
          onClick={() => {
            editing.value = true;
          }}
        />
      </div>
    </article>
  );
}

function Edit(props: { readonly text: string; readonly onDone: (text?: string) => void }): VNode {
  const area = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    area.current?.focus();
    area.current?.setSelectionRange(props.text.length, props.text.length);
  }, [props.text]);
  const submit = (): void => props.onDone(area.current?.value);
  const press = (event: KeyboardEvent): void => {
    if (event.key === "Escape") props.onDone();
    else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    }
  };
  return (
    <article class="turn user editing" aria-label="You, editing">
      <textarea ref={area} aria-label="Edit message" defaultValue={props.text} onKeyDown={press} />
      <div class="row">
        <button type="button" class="button" onClick={() => props.onDone()}>
          Cancel
        </button>
        <button type="button" class="button primary" onClick={submit}>
          Send
        </button>
      </div>
    </article>
  );
}

/** A reply. The one that is being received takes its text from the stream. */
export function AssistantView(props: {
  readonly conversation: Conversation;
  readonly turn: AssistantTurn;
  readonly last: boolean;
}): VNode {
  // Only the last turn looks at what changes with each frame.
  const receiving = props.last ? live.value : undefined;
  const own = receiving?.turn === props.turn.id ? receiving : undefined;
  return <Reply {...props} live={own} busy={busy.value} />;
}

interface ReplyProps {
  readonly conversation: Conversation;
  readonly turn: AssistantTurn;
  readonly last: boolean;
  readonly live: Live | undefined;
  readonly busy: boolean;
}

const Reply = memo(
  (props: ReplyProps) => <ReplyView {...props} />,
  (before, now) =>
    before.turn === now.turn &&
    before.last === now.last &&
    before.live === now.live &&
    before.busy === now.busy,
);

function ReplyView(props: ReplyProps): VNode {
  const { turn, live } = props;
  // An answer that came token by token is left so; one that was stored is shown as text.
  const asTokens = useSignal(live !== undefined);
  const answer = live?.answer ?? shownAnswer(turn);
  return (
    <article class="turn assistant" aria-label="Answer" aria-busy={live !== undefined}>
      {live && answer.text === "" && !answer.reasoning && <Waiting progress={live.progress} />}
      {asTokens.value && answer.tokens ? (
        <Tokens tokens={answer.tokens} />
      ) : (
        <AnswerText text={answer.text} reasoning={answer.reasoning} growing={live !== undefined} />
      )}
      {!live && <EndNote answer={answer} />}
      <div class="actions">
        {!live && <Actions {...props} answer={answer} asTokens={asTokens} />}
        {props.last && answer.stats && <Stats stats={answer.stats} />}
      </div>
    </article>
  );
}

function Waiting({ progress }: { readonly progress: number | undefined }): VNode {
  if (progress === undefined || progress >= 1) {
    return (
      <p class="waiting">
        <span class="pulse" /> Waiting for the first token
      </p>
    );
  }
  return (
    <p class="waiting">
      <progress max={1} value={progress} aria-label="Reading the prompt" />
      Reading the prompt, {Math.round(progress * 100)} %
    </p>
  );
}

/** What can be done with an answer that is there. */
function Actions(
  props: ReplyProps & { readonly answer: Answer; readonly asTokens: Signal<boolean> },
): VNode {
  const { conversation, turn, last, busy, answer, asTokens } = props;
  const cut = answer.text !== "" && answer.finish !== "stop" && answer.finish !== undefined;
  return (
    <>
      <Versions conversation={conversation} turn={turn} busy={busy} />
      {answer.text !== "" && <CopyButton text={answer.text} what="answer" />}
      {answer.tokens && (
        <IconButton
          icon="tokens"
          label="Show token probabilities"
          pressed={asTokens.value}
          onClick={() => {
            asTokens.value = !asTokens.value;
          }}
        />
      )}
      {last && (
        <IconButton
          icon="redo"
          label={answer.finish === "error" ? "Try again" : "Regenerate"}
          disabled={busy}
          onClick={() => regenerate(conversation)}
        />
      )}
      {last && cut && (
        <IconButton
          icon="play"
          label="Continue"
          disabled={busy}
          onClick={() => resume(conversation)}
        />
      )}
    </>
  );
}

function EndNote({ answer }: { readonly answer: Answer }): VNode | null {
  const note = endNote(answer);
  if (note === undefined) return null;
  if (answer.finish !== "error") return <p class="hint">{note}</p>;
  return (
    <div class="notice error" role="alert">
      <strong>No answer.</strong> {note}
    </div>
  );
}

/** Moves between the answers that regenerating gave. */
function Versions(props: Pick<ReplyProps, "conversation" | "turn" | "busy">): VNode | null {
  const { conversation, turn, busy } = props;
  const { length } = turn.answers;
  if (length < 2) return null;
  const show = (shown: number): void => {
    const change = (other: Conversation["turns"][number]): typeof other =>
      other.id === turn.id ? { ...turn, shown } : other;
    setTurns(conversation.id, conversation.turns.map(change));
  };
  return (
    <span class="versions">
      <IconButton
        icon="left"
        label="Earlier answer"
        disabled={busy || turn.shown === 0}
        onClick={() => show(turn.shown - 1)}
      />
      <span>
        {turn.shown + 1} of {length}
      </span>
      <IconButton
        icon="right"
        label="Later answer"
        disabled={busy || turn.shown === length - 1}
        onClick={() => show(turn.shown + 1)}
      />
    </span>
  );
}
