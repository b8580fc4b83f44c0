// The text of an answer: Markdown that grows while it streams, or its tokens.
import { Component, type ComponentChildren, type VNode } from "preact";
import { useMemo, useRef } from "preact/hooks";
import type { Answer } from "../conversation.ts";
import { GrowingMarkdown, markdownBlocks } from "../markdown/blocks.ts";
import { Markdown } from "../markdown/render.tsx";

/** Shows the text as it is where drawing it as Markdown fails. */
class Guard extends Component<{ readonly text: string; readonly children: ComponentChildren }> {
  override state = { failed: false };

  static override getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override render(): ComponentChildren {
    return this.state.failed ? <pre class="plain">{this.props.text}</pre> : this.props.children;
  }
}

/** A finished text, or one that grows at its end. */
export function AnswerText(props: { readonly text: string; readonly growing: boolean }): VNode {
  const { thought, text } = splitThought(props.text.replaceAll(/\r\n?/g, "\n"));
  return (
    <Guard text={props.text}>
      {thought !== undefined && (
        <details class="thought" open={props.growing && text === ""}>
          <summary>Reasoning</summary>
          <div class="plain">{thought}</div>
        </details>
      )}
      {props.growing ? <Growing text={text} /> : <Finished text={text} />}
    </Guard>
  );
}

function Growing({ text }: { readonly text: string }): VNode {
  const markdown = useRef(new GrowingMarkdown());
  return <Markdown blocks={markdown.current.blocks(text)} />;
}

function Finished({ text }: { readonly text: string }): VNode {
  return <Markdown blocks={useMemo(() => markdownBlocks(text), [text])} />;
}

/** Reasoning models begin with a <think> part, which is set apart. */
function splitThought(text: string): { thought?: string; text: string } {
  const match = /^\s*<think>\n?([\s\S]*?)(?:<\/think>\s*([\s\S]*)|$)/.exec(text);
  if (!match) return { text };
  const thought = match[1]?.trim();
  return { text: match[2] ?? "", ...(thought && { thought }) };
}

/** What to tell about an answer that did not end by itself. */
export function endNote({ finish, error }: Answer): string | undefined {
  if (finish === "stopped") return "Stopped.";
  if (finish === "length") return "Cut at the token limit.";
  return finish === "error" ? error : undefined;
}
