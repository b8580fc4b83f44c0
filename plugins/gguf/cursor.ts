// Reads GGUF's little-endian primitives from a mapped file, each checked against the file's length.
import { type MappedFile, WrinkleFreeError } from "../../core/index.ts";

/** How much of the file is viewed at a time: a GGUF header is rarely more than a few MB. */
const windowBytes = 1 << 26;

/** Bytes of a text that becomes a JavaScript string: chat templates have some thousand. */
const longestString = 1 << 26;

export class Cursor {
  readonly path: string;
  position = 0;
  readonly length: number;
  readonly #file: MappedFile;
  #base = 0;
  #view: DataView;
  #bytes: Buffer;

  constructor(file: MappedFile) {
    this.#file = file;
    this.path = file.path;
    this.length = file.byteLength;
    this.#bytes = Buffer.alloc(0);
    this.#view = new DataView(new ArrayBuffer(0));
    this.#move(0);
  }

  /** Throws `bad_file` unless `bytes` more lie in the file. */
  need(bytes: number, what: string): void {
    if (bytes <= this.length - this.position) return;
    throw this.error(
      `${what} needs ${bytes} bytes at offset ${this.position}, the file ends at ${this.length}`,
    );
  }

  error(text: string, field?: string): WrinkleFreeError {
    return new WrinkleFreeError("bad_file", `${this.path}: ${text}`, {
      file: this.path,
      field,
      hint: "The file is truncated or damaged: download or convert it again.",
    });
  }

  #move(bytes: number): number {
    const end = this.position + bytes;
    const last = this.#base + this.#bytes.length;
    if (this.position < this.#base || end > last || this.#bytes.length === 0) {
      const length = Math.min(Math.max(windowBytes, bytes), this.length - this.position);
      const view = this.#file.view(this.position, length);
      this.#base = this.position;
      this.#bytes = Buffer.from(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);
      this.#view = new DataView(view.buffer, view.byteOffset, view.byteLength);
    }
    const at = this.position - this.#base;
    this.position = end;
    return at;
  }

  #take(bytes: number, what: string): number {
    if (bytes > this.length - this.position) this.need(bytes, what);
    return this.#move(bytes);
  }

  u8 = (what: string): number => this.#view.getUint8(this.#take(1, what));
  i8 = (what: string): number => this.#view.getInt8(this.#take(1, what));
  u16 = (what: string): number => this.#view.getUint16(this.#take(2, what), true);
  i16 = (what: string): number => this.#view.getInt16(this.#take(2, what), true);
  u32 = (what: string): number => this.#view.getUint32(this.#take(4, what), true);
  i32 = (what: string): number => this.#view.getInt32(this.#take(4, what), true);
  f32 = (what: string): number => this.#view.getFloat32(this.#take(4, what), true);
  f64 = (what: string): number => this.#view.getFloat64(this.#take(8, what), true);

  /** A number where it is exact, else a bigint. */
  u64(what: string): number | bigint {
    const value = this.#view.getBigUint64(this.#take(8, what), true);
    return value <= 9007199254740991n ? Number(value) : value;
  }

  i64(what: string): number | bigint {
    const value = this.#view.getBigInt64(this.#take(8, what), true);
    const exact = value <= 9007199254740991n && value >= -9007199254740991n;
    return exact ? Number(value) : value;
  }

  /** A 64-bit count or size; anything past the file's length is damage. */
  count(what: string): number {
    const at = this.#take(8, what);
    const value = this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 4294967296;
    if (value > this.length) throw this.error(`${what} is ${value}, more than the file's bytes`);
    return value;
  }

  string(what: string, longest = longestString): string {
    const length = this.count(what);
    if (length > longest) throw this.error(`${what} is a text of ${length} bytes`);
    const at = this.#take(length, what);
    return this.#bytes.toString("utf8", at, at + length);
  }

  skipString(what: string): void {
    const length = this.count(what);
    if (length > this.length - this.position) this.need(length, what);
    this.position += length;
  }

  skip(bytes: number, what: string): void {
    this.need(bytes, what);
    this.position += bytes;
  }

  /** A copy of `bytes` bytes, aligned for any typed array. */
  copy(bytes: number, what: string): ArrayBuffer {
    const at = this.#take(bytes, what);
    return this.#bytes.buffer.slice(
      this.#bytes.byteOffset + at,
      this.#bytes.byteOffset + at + bytes,
    ) as ArrayBuffer;
  }
}
