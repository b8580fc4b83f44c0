// Random JSON schemas of the kind that tools and structured outputs declare.
import type { Random } from "../../core/index.ts";

const names = ["id", "name", "items", "a b", "é", 'q"t', "type", "naming", "n"];
const formats = ["date", "time", "date-time", "uuid", "email", "ipv4", "hostname", "uri", "ipv6"];
const patterns = ["^[A-Z]{2}\\d{3}$", "^(on|off)$", "[aeiou]", "^\\w+@x$", '^["\\\\]{1,2}$'];

/** A schema of at most three levels; strings and arrays are short, so that texts end. */
export function randomSchema(random: Random): unknown {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random.double() * list.length)]!;
  const chance = (p: number): boolean => random.double() < p;
  const whole = (n: number): number => Math.floor(random.double() * n);

  function string(): unknown {
    if (chance(0.2)) return { type: "string", format: pick(formats) };
    if (chance(0.2)) return { type: "string", pattern: `${pick(patterns)}` };
    const min = whole(4);
    return {
      type: "string",
      ...(chance(0.3) ? { minLength: min } : {}),
      maxLength: min + whole(12),
    };
  }

  function number(): unknown {
    const low = Number(((random.double() - 0.5) * 10 ** whole(5)).toFixed(whole(3)));
    const high = Number((low + 1 + random.double() * 10 ** whole(4)).toFixed(2));
    return {
      type: chance(0.6) ? "integer" : "number",
      ...(chance(0.5) ? { [chance(0.7) ? "minimum" : "exclusiveMinimum"]: low } : {}),
      ...(chance(0.5) ? { [chance(0.7) ? "maximum" : "exclusiveMaximum"]: high } : {}),
    };
  }

  function object(depth: number): unknown {
    const chosen = names.filter(() => chance(0.4));
    const properties = Object.fromEntries(chosen.map((name) => [name, any(depth - 1)]));
    const others = chance(0.2)
      ? { additionalProperties: string() }
      : { additionalProperties: false };
    return {
      type: "object",
      properties,
      required: chosen.filter(() => chance(0.6)),
      ...(chance(0.6) && chosen.length > 0 ? others : {}),
    };
  }

  function array(depth: number): unknown {
    if (chance(0.3)) {
      const prefixItems = [any(depth - 1), any(depth - 1)];
      return { type: "array", prefixItems, items: false, minItems: whole(3) };
    }
    const minItems = whole(3);
    return { type: "array", items: any(depth - 1), minItems, maxItems: minItems + whole(3) };
  }

  function any(depth: number): unknown {
    const kind = whole(depth > 0 ? 9 : 5);
    if (kind === 0) return number();
    if (kind === 1) return { type: "boolean" };
    if (kind === 2)
      return { enum: ["red", 1, null, 'a "quoted" word', [1, 2]].slice(0, 1 + whole(5)) };
    if (kind <= 4) return string();
    if (kind <= 6) return object(depth);
    if (kind === 7) return array(depth);
    return { anyOf: [any(depth - 1), { type: "null" }, any(depth - 1)] };
  }

  return chance(0.7) ? object(3) : any(3);
}
