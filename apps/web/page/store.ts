// The conversations of this browser: in signals for the page, in IndexedDB to stay.
import { computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { createStore, delMany, entries, setMany } from "idb-keyval";
import { type Conversation, newConversation, type Turn, titleOf } from "./conversation.ts";
import { settings } from "./settings.ts";
import { notify } from "./toast.ts";

const database = createStore("wrinklefree", "conversations");

/** Newest first. */
export const conversations: Signal<readonly Conversation[]> = signal([]);
export const currentId: Signal<string | undefined> = signal(undefined);
/** Whether the stored conversations were read. */
export const opened: Signal<boolean> = signal(false);

export const current: ReadonlySignal<Conversation | undefined> = computed(() =>
  conversations.value.find((conversation) => conversation.id === currentId.value),
);

const currentKey = "wrinklefree.current";

/** Reads what is stored and shows the conversation that was open. */
export async function open(): Promise<void> {
  try {
    const stored = await entries<string, Conversation>(database);
    const found = stored.map(([, conversation]) => conversation);
    conversations.value = found.toSorted((a, b) => b.updated - a.updated);
    const last = localStorage.getItem(currentKey);
    if (found.some(({ id }) => id === last)) currentId.value = last ?? undefined;
  } catch {
    notify("This browser keeps no data, so conversations end with the page.");
  }
  opened.value = true;
}

export function show(id: string | undefined): void {
  currentId.value = id;
  try {
    if (id === undefined) localStorage.removeItem(currentKey);
    else localStorage.setItem(currentKey, id);
  } catch {
    // Without storage a reload opens a new conversation.
  }
}

export function find(id: string): Conversation | undefined {
  return conversations.value.find((conversation) => conversation.id === id);
}

/** Puts conversations in place of those with their ids, or adds them; keeps the order. */
export function put(...changed: readonly Conversation[]): void {
  const ids = new Set(changed.map(({ id }) => id));
  const others = conversations.value.filter(({ id }) => !ids.has(id));
  conversations.value = [...others, ...changed].toSorted((a, b) => b.updated - a.updated);
  setMany(
    changed.map((conversation) => [conversation.id, conversation]),
    database,
  ).catch(() => notify("The conversation could not be stored in this browser."));
}

/** Replaces the turns of a conversation, which thereby is the newest. */
export function setTurns(id: string, turns: readonly Turn[]): void {
  const conversation = find(id);
  if (conversation) put({ ...conversation, turns, updated: Date.now() });
}

/** The open conversation, or a new one that this opens, named after its first message. */
export function ensureCurrent(firstMessage: string): Conversation {
  if (current.value) return current.value;
  const created = newConversation(settings.value.system);
  const conversation = { ...created, title: titleOf(firstMessage) };
  put(conversation);
  show(conversation.id);
  return conversation;
}

export function rename(id: string, title: string): void {
  const conversation = find(id);
  if (conversation && title.trim() !== "") put({ ...conversation, title: titleOf(title) });
}

/** Removes conversations; a message offers to take it back. */
export function remove(ids: readonly string[]): void {
  const removed = conversations.value.filter(({ id }) => ids.includes(id));
  conversations.value = conversations.value.filter(({ id }) => !ids.includes(id));
  if (currentId.value !== undefined && ids.includes(currentId.value)) show(undefined);
  delMany([...ids], database).catch(() => {});
  const what = removed.length === 1 ? `“${removed[0]?.title}”` : `${removed.length} conversations`;
  notify(`Deleted ${what}.`, { label: "Undo", run: () => put(...removed) });
}
