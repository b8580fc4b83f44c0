// The settings panel: system prompt, sampling, the model's facts, appearance and the key.
import type { ComponentChildren, VNode } from "preact";
import { change, settings, type Theme } from "../settings.ts";
import { current, put } from "../store.ts";
import { Facts } from "./facts.tsx";
import { IconButton, type IconName } from "./icons.tsx";
import { Sampling } from "./sampling.tsx";

export function Panel({ onClose }: { readonly onClose: () => void }): VNode {
  return (
    <aside id="panel" class="panel" aria-label="Settings">
      <div class="panel-head">
        <h2>Settings</h2>
        <IconButton icon="close" label="Close settings" onClick={onClose} />
      </div>
      <Section title="System prompt" open>
        <SystemPrompt />
      </Section>
      <Section title="Sampling" open>
        <Sampling />
      </Section>
      <Section title="Model" open>
        <Facts />
      </Section>
      <Section title="Appearance" open>
        <Themes />
      </Section>
      <Section title="API key" open={settings.value.apiKey !== ""}>
        <KeyField />
      </Section>
    </aside>
  );
}

function Section(props: {
  readonly title: string;
  readonly open: boolean;
  readonly children: ComponentChildren;
}): VNode {
  return (
    <details class="section" open={props.open}>
      <summary>
        <h3>{props.title}</h3>
      </summary>
      {props.children}
    </details>
  );
}

function SystemPrompt(): VNode {
  const conversation = current.value;
  const set = (system: string): void => {
    if (conversation) put({ ...conversation, system });
    else change({ system });
  };
  return (
    <>
      <textarea
        class="system"
        rows={3}
        aria-label="System prompt"
        placeholder="How the model should answer"
        value={conversation ? conversation.system : settings.value.system}
        onChange={(event) => set(event.currentTarget.value)}
      />
      <p class="hint">
        {conversation
          ? "For this conversation, from its next message on."
          : "For new conversations."}
      </p>
    </>
  );
}

const themes: readonly (readonly [Theme, string, IconName])[] = [
  ["system", "As the system", "system"],
  ["light", "Light", "light"],
  ["dark", "Dark", "dark"],
];

function Themes(): VNode {
  return (
    <fieldset class="themes">
      <legend class="hidden">Colours</legend>
      {themes.map(([theme, label, icon]) => (
        <IconButton
          key={theme}
          icon={icon}
          label={label}
          pressed={settings.value.theme === theme}
          onClick={() => change({ theme })}
        />
      ))}
    </fieldset>
  );
}

/** The server's key, for servers that ask for one. */
export function KeyField(): VNode {
  return (
    <>
      <input
        class="key"
        type="password"
        autocomplete="off"
        aria-label="API key"
        placeholder="None needed unless the server says so"
        value={settings.value.apiKey}
        onChange={(event) => change({ apiKey: event.currentTarget.value.trim() })}
      />
      <p class="hint">Kept in this browser, sent to this server only.</p>
    </>
  );
}
