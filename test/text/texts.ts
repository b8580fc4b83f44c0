// Random texts over many scripts, with the things that trip tokenizers up.
import type { Random } from "../../core/index.ts";

/** First and end code points. */
const scripts: [number, number][] = [
  [0x00, 0x20],
  [0x20, 0x7f],
  [0x20, 0x7f],
  [0x61, 0x7b],
  [0x80, 0x100],
  [0x100, 0x250],
  [0x300, 0x370],
  [0x370, 0x400],
  [0x400, 0x500],
  [0x590, 0x700],
  [0x900, 0x980],
  [0xe00, 0xe80],
  [0x1100, 0x1200],
  [0x2000, 0x2070],
  [0x2190, 0x2300],
  [0x3040, 0x3100],
  [0x4e00, 0x9fff],
  [0xac00, 0xd7a4],
  [0xd800, 0xe000],
  [0xfe00, 0xffff],
  [0x1f300, 0x1f6ff],
];

const pieces = [
  "'s",
  "'LL",
  "don't",
  "  ",
  "\t\t",
  "\r\n",
  "123456",
  "\n\n",
  "<|eot_id|>",
  "\ufeff",
  "\u0085",
];

/** `count` texts of at most `longest` characters. */
export function randomTexts(random: Random, count: number, longest = 60): string[] {
  const pick = (n: number) => Math.floor(random.double() * n);
  return Array.from({ length: count }, () => {
    let text = "";
    let script = scripts[pick(scripts.length)]!;
    for (let left = 1 + pick(longest); left > 0; left--) {
      if (pick(5) === 0) script = scripts[pick(scripts.length)]!;
      if (pick(6) === 0) text += " ";
      if (pick(16) === 0) text += pieces[pick(pieces.length)];
      text += String.fromCodePoint(script[0] + pick(script[1] - script[0]));
    }
    return text;
  });
}
