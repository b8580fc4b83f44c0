// What holds for rules as a whole: whether they match the empty text, whether they match any text that ends.
import type { Expression, Grammar } from "./expression.ts";

type Holds = (expression: Expression, rules: ReadonlySet<string>) => boolean;

/** Names of the rules that `holds` for; it must stay true as more rules come to hold. */
export function rulesWhere(grammar: Grammar, holds: Holds): Set<string> {
  const found = new Set<string>();
  const users = new Map<string, Set<string>>();
  for (const [name, expression] of grammar.rules) {
    for (const used of rulesIn(expression)) {
      const list = users.get(used) ?? new Set();
      users.set(used, list.add(name));
    }
  }
  // Each rule that turns out to hold can make those hold that use it.
  const work = [...grammar.rules.keys()];
  for (let name = work.pop(); name !== undefined; name = work.pop()) {
    if (found.has(name) || !holds(grammar.rules.get(name)!, found)) continue;
    found.add(name);
    work.push(...(users.get(name) ?? []));
  }
  return found;
}

function rulesIn(expression: Expression): string[] {
  if (expression.kind === "rule") return [expression.name];
  if (expression.kind === "repeat") return rulesIn(expression.item);
  const nested = expression.kind === "sequence" || expression.kind === "choice";
  return nested ? expression.items.flatMap(rulesIn) : [];
}

/** Whether the empty text matches, given the rules that it matches. */
export function isNullable(expression: Expression, rules: ReadonlySet<string>): boolean {
  switch (expression.kind) {
    case "text":
      return expression.text === "";
    case "sequence":
      return expression.items.every((item) => isNullable(item, rules));
    case "choice":
      return expression.items.some((item) => isNullable(item, rules));
    case "repeat":
      return expression.min === 0 || isNullable(expression.item, rules);
    case "rule":
      return rules.has(expression.name);
    default:
      return false;
  }
}

/** Whether a text of finite length matches, given the rules of which one does. */
export function canEnd(expression: Expression, rules: ReadonlySet<string>): boolean {
  switch (expression.kind) {
    case "characters":
      return expression.set.length > 0;
    case "sequence":
      return expression.items.every((item) => canEnd(item, rules));
    case "choice":
      return expression.items.some((item) => canEnd(item, rules));
    case "repeat":
      return expression.min === 0 || canEnd(expression.item, rules);
    case "rule":
      return rules.has(expression.name);
    default:
      return true;
  }
}
