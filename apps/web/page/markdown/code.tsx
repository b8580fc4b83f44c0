// A block of code with a button that copies it.
import type { VNode } from "preact";
import { CopyButton } from "../view/copy.tsx";

export function CodeBlock(props: {
  readonly text: string;
  readonly language?: string | undefined;
}): VNode {
  const language = props.language?.match(/^[\w+#.-]{1,24}/)?.[0];
  return (
    <figure class="code">
      <figcaption>
        <span>{language ?? "text"}</span>
        <CopyButton text={props.text} what="code" />
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region takes focus */}
      <pre tabIndex={0}>
        <code>{props.text}</code>
      </pre>
    </figure>
  );
}
