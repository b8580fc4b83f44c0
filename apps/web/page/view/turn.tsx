// One turn of a conversation, with what can be done about it.
import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
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
  useEffect(() => {
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

/** The turn that is being received takes its text from the stream. */
export function AssistantView(props: {
  readonly conversation: Conversation;
  readonly turn: AssistantTurn;
  readonly last: boolean;
}): VNode {
  const { conversation, turn, last } = props;
  const streaming = last && live.value?.turn === turn.id ? live.value : undefined;
  if (streaming) return <Receiving live={streaming} />;
  return <Received conversation={conversation} turn={turn} last={last} busy={busy.value} />;
}

function Receiving({ live }: { readonly live: Live }): VNode {
  const { answer, progress } = live;
  return (
    <article class="turn assistant" aria-label="Answer" aria-busy="true">
      {answer.text === "" && <Waiting progress={progress} />}
      {answer.tokens ? (
        <Tokens tokens={answer.tokens} />
      ) : (
        <AnswerText text={answer.text} growing />
      )}
      {answer.stats && <Stats stats={answer.stats} />}
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

interface ReceivedProps {
  readonly conversation: Conversation;
  readonly turn: AssistantTurn;
  readonly last: boolean;
  readonly busy: boolean;
}

const Received = memo(
  (props: ReceivedProps) => <ReceivedView {...props} />,
  (before, now) => before.turn === now.turn && before.last === now.last && before.busy === now.busy,
);

function ReceivedView({ conversation, turn, last, busy }: ReceivedProps): VNode {
  const asTokens = useSignal(false);
  const answer = shownAnswer(turn);
  return (
    <article class="turn assistant" aria-label="Answer">
      {asTokens.value && answer.tokens ? (
        <Tokens tokens={answer.tokens} />
      ) : (
        <AnswerText text={answer.text} growing={false} />
      )}
      <EndNote answer={answer} />
      <div class="actions">
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
        {last && answer.text !== "" && answer.finish !== "stop" && (
          <IconButton
            icon="play"
            label="Continue"
            disabled={busy}
            onClick={() => resume(conversation)}
          />
        )}
        {last && answer.stats && <Stats stats={answer.stats} />}
      </div>
    </article>
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
function Versions(props: Omit<ReceivedProps, "last">): VNode | null {
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
