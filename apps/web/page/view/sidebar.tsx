// The list of conversations: open, rename, delete, export, import.
import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { type Conversation, exportText, importText } from "../conversation.ts";
import { answering, stop } from "../run.ts";
import { conversations, currentId, put, remove, rename, show } from "../store.ts";
import { notify } from "../toast.ts";
import { Icon, IconButton, Logo } from "./icons.tsx";

/** From this many conversations on there is a field to search them. */
const searchable = 8;

export function Sidebar(props: {
  readonly onOpen: () => void;
  readonly onClose: () => void;
}): VNode {
  const query = useSignal("");
  const list = conversations.value;
  const word = query.value.trim().toLowerCase();
  const found = word === "" ? list : list.filter((one) => matches(one, word));
  const open = (id: string | undefined): void => {
    show(id);
    props.onOpen();
  };
  return (
    <nav id="sidebar" class="sidebar" aria-label="Conversations">
      <div class="panel-head">
        <span class="brand">
          <Logo /> WrinkleFree
        </span>
        <IconButton
          class="narrow"
          icon="close"
          label="Close conversations"
          onClick={props.onClose}
        />
      </div>
      <button type="button" class="button wide" onClick={() => open(undefined)}>
        <Icon name="plus" /> New conversation
      </button>
      {list.length >= searchable && (
        <input
          type="search"
          aria-label="Search conversations"
          placeholder="Search"
          onInput={(event) => {
            query.value = event.currentTarget.value;
          }}
        />
      )}
      <ul class="conversations">
        {found.map((conversation) => (
          <Entry key={conversation.id} conversation={conversation} onOpen={open} />
        ))}
      </ul>
      {list.length === 0 && <p class="hint">Conversations stay in this browser.</p>}
      <Transfer />
    </nav>
  );
}

function matches({ title, turns }: Conversation, word: string): boolean {
  const texts = turns.flatMap((turn) =>
    turn.role === "user" ? [turn.text] : turn.answers.map(({ text }) => text),
  );
  return [title, ...texts].some((text) => text.toLowerCase().includes(word));
}

function Entry(props: {
  readonly conversation: Conversation;
  readonly onOpen: (id: string) => void;
}): VNode {
  const { conversation, onOpen } = props;
  const { id, title } = conversation;
  const renaming = useSignal(false);
  if (renaming.value) {
    const done = (text?: string): void => {
      renaming.value = false;
      if (text !== undefined) rename(id, text);
    };
    return (
      <li class="entry">
        <Rename title={title} onDone={done} />
      </li>
    );
  }
  const chosen = id === currentId.value;
  const drop = (): void => {
    if (answering.value === id) stop();
    remove([id]);
  };
  return (
    <li class={chosen ? "entry chosen" : "entry"}>
      <button
        type="button"
        class="title"
        aria-current={chosen ? "page" : undefined}
        onClick={() => onOpen(id)}
      >
        {title}
        {answering.value === id && <span class="pulse" />}
      </button>
      <span class="entry-actions">
        <IconButton
          icon="edit"
          label={`Rename ${title}`}
          onClick={() => {
            renaming.value = true;
          }}
        />
        <IconButton
          icon="download"
          label={`Export ${title}`}
          onClick={() => save([conversation], title)}
        />
        <IconButton icon="trash" label={`Delete ${title}`} onClick={drop} />
      </span>
    </li>
  );
}

function Rename(props: {
  readonly title: string;
  readonly onDone: (text?: string) => void;
}): VNode {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.select(), []);
  return (
    <input
      ref={input}
      aria-label="Title"
      defaultValue={props.title}
      onBlur={(event) => props.onDone(event.currentTarget.value)}
      onKeyDown={(event) => {
        if (event.key === "Escape") props.onDone();
        else if (event.key === "Enter") props.onDone(event.currentTarget.value);
      }}
    />
  );
}

function Transfer(): VNode {
  const file = useRef<HTMLInputElement>(null);
  const list = conversations.value;
  return (
    <div class="transfer">
      <button type="button" class="button" onClick={() => file.current?.click()}>
        <Icon name="upload" /> Import
      </button>
      <button
        type="button"
        class="button"
        disabled={list.length === 0}
        onClick={() => save(list, "conversations")}
      >
        <Icon name="download" /> Export all
      </button>
      <input
        ref={file}
        class="hidden"
        type="file"
        accept="application/json,.json"
        tabIndex={-1}
        aria-label="File to import"
        onChange={(event) => {
          const input = event.currentTarget;
          void load(input.files?.[0]).then(() => {
            input.value = "";
          });
        }}
      />
    </div>
  );
}

async function load(file: File | undefined): Promise<void> {
  if (!file) return;
  try {
    const read = importText(await file.text());
    put(...read);
    if (read[0]) show(read[0].id);
    notify(
      read.length === 1 ? "Imported a conversation." : `Imported ${read.length} conversations.`,
    );
  } catch (error) {
    notify(`${file.name} could not be imported: ${(error as Error).message}.`);
  }
}

/** Gives the browser a file to save. */
function save(list: readonly Conversation[], name: string): void {
  const url = URL.createObjectURL(new Blob([exportText(list)], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `${name.replaceAll(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60)}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
