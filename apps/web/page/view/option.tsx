// One request field as a form control, made from its schema.
import type { VNode } from "preact";
import { useId } from "preact/hooks";
import type { OptionSchema } from "../server.ts";
import { setSampling, settings } from "../settings.ts";

export interface OptionProps {
  readonly name: string;
  readonly label?: string;
  readonly schema: OptionSchema;
  /** The server's own value; what is sent when nothing is set here. */
  readonly standard: unknown;
  /** What the field shows when neither side has a number. */
  readonly off?: string;
}

export function Option({ name, label, schema, standard, off }: OptionProps): VNode {
  const id = useId();
  const own = settings.value.sampling[name];
  const changed = own !== undefined;
  const set = (value: unknown): void => setSampling(name, value);
  const control = { id, schema, standard, value: own ?? standard, own, off, set };
  return (
    <div class={changed ? "option changed" : "option"}>
      <label for={id}>{label ?? name}</label>
      {changed && (
        <button
          type="button"
          class="reset"
          aria-label={`Reset ${name}`}
          onClick={() => set(undefined)}
        >
          Reset
        </button>
      )}
      <Control {...control} />
      {schema.description && <p class="hint">{schema.description}</p>}
    </div>
  );
}

interface ControlProps {
  readonly id: string;
  readonly schema: OptionSchema;
  readonly standard: unknown;
  readonly value: unknown;
  readonly own: unknown;
  readonly off?: string | undefined;
  set(value: unknown): void;
}

function Control(props: ControlProps): VNode {
  const { id, schema, value, set } = props;
  const choices = schema.anyOf?.filter((variant) => variant.const !== undefined);
  if (choices && choices.length === schema.anyOf?.length) {
    return (
      <select id={id} onChange={(event) => set(choices[event.currentTarget.selectedIndex]?.const)}>
        {choices.map((choice) => (
          <option selected={choice.const === value}>{String(choice.const)}</option>
        ))}
      </select>
    );
  }
  if (schema.type === "boolean") {
    const change = (event: Event): void => set((event.currentTarget as HTMLInputElement).checked);
    return <input id={id} type="checkbox" checked={value === true} onChange={change} />;
  }
  if (schema.type === "integer" || schema.type === "number") return <NumberControl {...props} />;
  return <JsonControl {...props} />;
}

function NumberControl({ id, schema, standard, value, own, off, set }: ControlProps): VNode {
  const minimum = schema.minimum ?? schema.exclusiveMinimum;
  const maximum = schema.maximum ?? schema.exclusiveMaximum;
  const step = schema.type === "integer" ? 1 : "any";
  const change = (event: Event): void => {
    const input = event.currentTarget as HTMLInputElement;
    // What is left empty or out of range stays in the field, marked, and is not sent.
    if (input.value === "") set(undefined);
    else if (input.validity.valid) set(input.valueAsNumber);
  };
  const placeholder = typeof standard === "number" ? String(standard) : (off ?? "unset");
  const narrow = minimum !== undefined && maximum !== undefined && maximum - minimum <= 2;
  return (
    <>
      {narrow && (
        <input
          type="range"
          min={minimum}
          max={maximum}
          step={schema.type === "integer" ? 1 : 0.01}
          value={Number(value ?? minimum)}
          aria-labelledby={id}
          aria-label="Slider"
          onInput={(event) => set(event.currentTarget.valueAsNumber)}
        />
      )}
      <input
        id={id}
        type="number"
        min={minimum}
        max={maximum}
        step={step}
        value={own === undefined ? "" : String(own)}
        placeholder={placeholder}
        onChange={change}
      />
    </>
  );
}

/** Lists, and whatever else is no plain value, are written as JSON. */
function JsonControl({ id, standard, own, schema, set }: ControlProps): VNode {
  const plain = schema.type === "string";
  const change = (event: Event): void => {
    const input = event.currentTarget as HTMLInputElement;
    input.setCustomValidity("");
    try {
      if (input.value.trim() === "") set(undefined);
      else set(plain ? input.value : JSON.parse(input.value));
    } catch {
      input.setCustomValidity("This is not JSON.");
      input.reportValidity();
    }
  };
  const show = (value: unknown): string =>
    value === undefined ? "" : plain ? String(value) : JSON.stringify(value);
  return (
    <input
      id={id}
      type="text"
      spellcheck={false}
      value={show(own)}
      placeholder={show(standard)}
      onChange={change}
    />
  );
}
