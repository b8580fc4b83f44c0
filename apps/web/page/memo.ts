// Components that are drawn again only when their properties say so.
import { Component, type ComponentChildren, type ComponentType } from "preact";

/** Wraps a component; `same` compares its properties, by default each by identity. */
export function memo<P extends object>(
  render: (props: P) => ComponentChildren,
  same: (before: P, now: P) => boolean = shallow,
): ComponentType<P> {
  return class extends Component<P> {
    override shouldComponentUpdate(now: Readonly<P>): boolean {
      return !same(this.props as P, now as P);
    }

    override render(): ComponentChildren {
      return render(this.props as P);
    }
  };
}

function shallow<P extends object>(before: P, now: P): boolean {
  const names = new Set([...Object.keys(before), ...Object.keys(now)]) as Set<keyof P>;
  return [...names].every((name) => before[name] === now[name]);
}
