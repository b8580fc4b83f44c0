// Views on native memory, and the addresses of typed arrays. An address is a plain number.
import { type Pointer, ptr, toArrayBuffer } from "bun:ffi";
import { WrinkleFreeError } from "../errors.ts";

/** Bun's limit for one ArrayBuffer. Larger memory needs several views. */
const viewLimit = 2 ** 32;

/**
 * The address of a typed array's bytes. Valid as long as the array is alive: the caller keeps a
 * reference for as long as native code may use it.
 */
export function addressOf(array: ArrayBufferView): number {
  // Small arrays move when their buffer is first asked for: ask before taking the address.
  if (array.buffer.byteLength === 0) throw new RangeError("an empty array has no address");
  return ptr(array as NodeJS.TypedArray);
}

function bufferAt(address: number, bytes: number): ArrayBuffer {
  if (!Number.isSafeInteger(address) || address <= 0) {
    throw new RangeError(`not an address: ${address}`);
  }
  if (!(bytes > 0 && bytes <= viewLimit)) {
    throw new RangeError(`a view of ${bytes} bytes is empty or larger than 4 GiB`);
  }
  return toArrayBuffer(address as Pointer, 0, bytes);
}

/** `length` bytes at `address`, 1..2^32. The memory must outlive the view. */
export function bytesView(address: number, length: number): Uint8Array {
  return new Uint8Array(bufferAt(address, length));
}

/** `length` int8 at `address`. */
export function i8View(address: number, length: number): Int8Array {
  return new Int8Array(bufferAt(address, length));
}

/** `length` uint32 at `address`. */
export function u32View(address: number, length: number): Uint32Array {
  return new Uint32Array(bufferAt(address, length * 4));
}

/** `length` float32 at `address`. */
export function floatView(address: number, length: number): Float32Array {
  return new Float32Array(bufferAt(address, length * 4));
}

/** A DataView of `length` bytes at `address`. */
export function dataView(address: number, length: number): DataView {
  return new DataView(bufferAt(address, length));
}

/** Native memory with an owner. Views made of it must not be used after it is disposed. */
export class Region {
  #address: number;
  readonly bytes: number;
  readonly #release: (address: number, bytes: number) => void;

  constructor(address: number, bytes: number, release: (address: number, bytes: number) => void) {
    this.#address = address;
    this.bytes = bytes;
    this.#release = release;
  }

  get address(): number {
    if (this.#address === 0)
      throw new WrinkleFreeError("internal", "native memory used after free");
    return this.#address;
  }

  [Symbol.dispose](): void {
    if (this.#address === 0) return;
    this.#release(this.#address, this.bytes);
    this.#address = 0;
  }
}
