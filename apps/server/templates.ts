// Chat templates by name, for models whose files carry none.
import { WrinkleFreeError } from "../../core/index.ts";

const loop = "{% for message in messages %}";
const content = "{{ message['content'] | trim }}";

/** The field's usual names, as llama-server's --chat-template takes them. */
export const namedTemplates = {
  /** Role names and a blank line: what a model without a template is most likely to follow. */
  plain:
    `{{ bos_token }}${loop}{{ message['role'] | capitalize }}: ${content}\n{% endfor %}` +
    "{% if add_generation_prompt %}Assistant:{% endif %}",
  chatml:
    `${loop}<|im_start|>{{ message['role'] }}\n${content}<|im_end|>\n{% endfor %}` +
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
  llama3:
    `{{ bos_token }}${loop}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n` +
    `${content}<|eot_id|>{% endfor %}` +
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
  bitnet:
    `{{ bos_token }}${loop}{{ message['role'] | capitalize }}: ${content}<|eot_id|>{% endfor %}` +
    "{% if add_generation_prompt %}Assistant: {% endif %}",
} as const;

/** A template's source: itself, or by name. Throws `usage` for a name that there is not. */
export function templateSource(text: string): string {
  if (text.includes("{")) return text;
  const named = (namedTemplates as Readonly<Record<string, string>>)[text.trim()];
  if (named !== undefined) return named;
  throw new WrinkleFreeError("usage", `there is no chat template named ${text.trim()}`, {
    flag: "--chat-template",
    hint: `Give Jinja text, --chat-template-file, or one of ${Object.keys(namedTemplates).join(", ")}.`,
  });
}
