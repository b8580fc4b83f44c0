// The text of an answer: Markdown that grows while it streams, or its tokens.
import { Component, type ComponentChildren, type VNode } from "preact";
import { useMemo, useRef } from "preact/hooks";
import type { Answer } from "../conversation.ts";
import { flatten, GrowingMarkdown, markdownBlocks } from "../markdown/blocks.ts";
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

/** A finished text, or one that grows at its end, after what the model thought. */
export function AnswerText(props: {
  readonly text: string;
  readonly reasoning?: string | undefined;
  readonly growing: boolean;
}): VNode {
  const { text, reasoning, growing } = props;
  return (
    <Guard text={text}>
      {reasoning && (
        <details class="thought" open={growing && text === ""}>
          <summary>Reasoning</summary>
          <div class="plain">{reasoning}</div>
        </details>
      )}
      <Body text={flatten(text.replaceAll(/\r\n?/g, "\n"))} growing={growing} />
    </Guard>
  );
}

/** Parsed piece by piece while it grows and once as a whole at its end; what is equal is not drawn anew. */
function Body({ text, growing }: { readonly text: string; readonly growing: boolean }): VNode {
  const markdown = useRef(new GrowingMarkdown());
  const whole = useMemo(() => (growing ? undefined : markdownBlocks(text)), [text, growing]);
  return <Markdown blocks={whole ?? markdown.current.blocks(text)} />;
}

/** What to tell about an answer that did not end by itself. */
export function endNote({ finish, error }: Answer): string | undefined {
  if (finish === "stopped") return "Stopped.";
  if (finish === "length") return "Cut at the token limit.";
  return finish === "error" ? error : undefined;
}
