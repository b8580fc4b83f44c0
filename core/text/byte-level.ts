// GPT-2's byte alphabet: the printable character that stands for each byte in byte-level BPE.

/** Code point of the character that stands for each byte. */
export const byteToCode: Uint16Array = buildAlphabet();

/** Byte for a code point below 324, or -1. */
const codeToByte: Int16Array = invert(byteToCode);

function buildAlphabet(): Uint16Array {
  const codes = new Uint16Array(256);
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    codes[byte] = printable ? byte : next++;
  }
  return codes;
}

function invert(codes: Uint16Array): Int16Array {
  const bytes = new Int16Array(324).fill(-1);
  for (let byte = 0; byte < 256; byte++) bytes[codes[byte]!] = byte;
  return bytes;
}

/** The byte that a character of the alphabet stands for, or -1 for any other code point. */
export function byteOfCode(code: number): number {
  return code < 324 ? codeToByte[code]! : -1;
}

/**
 * Bytes of a token's text in the byte alphabet. Characters outside of the alphabet stand for their
 * own UTF-8 bytes (some vocabularies hold such tokens among their added ones).
 */
export function bytesOfAlphabet(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const byte = byteOfCode(text.charCodeAt(i));
    if (byte < 0) return mixedBytes(text);
    bytes[i] = byte;
  }
  return bytes;
}

function mixedBytes(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of text) {
    const byte = byteOfCode(character.codePointAt(0)!);
    if (byte >= 0) bytes.push(byte);
    else bytes.push(...new TextEncoder().encode(character));
  }
  return Uint8Array.from(bytes);
}
