// Writes one .safetensors file as a stream: the header is known before the first tensor.
import { closeSync, fsyncSync, openSync } from "node:fs";
import { writeAll } from "../../../plugins/standard.ts";

export interface PlannedEntry {
  readonly name: string;
  readonly dtype: "U8" | "F32" | "F16" | "BF16";
  readonly shape: readonly number[];
  readonly byteLength: number;
}

/** Takes the tensors' bytes in the order of the plan. */
export class SafetensorsWriter {
  readonly #handle: number;
  readonly #start: number;
  #position: number;

  /** `resumed`: the file is there, with this header, from an earlier run. */
  constructor(path: string, entries: readonly PlannedEntry[], resumed = false) {
    const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
    let offset = 0;
    for (const { name, dtype, shape, byteLength } of entries) {
      header[name] = { dtype, shape, data_offsets: [offset, offset + byteLength] };
      offset += byteLength;
    }
    const text = JSON.stringify(header);
    // Tensors begin at a multiple of 8, as the format's own writer has it.
    const bytes = Buffer.from(text.padEnd(Math.ceil(Buffer.byteLength(text) / 8) * 8));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(bytes.byteLength));
    this.#handle = openSync(path, resumed ? "r+" : "w");
    writeAll(this.#handle, Buffer.concat([length, bytes]), 0);
    this.#start = 8 + bytes.byteLength;
    this.#position = this.#start;
  }

  /** Bytes of tensors so far. */
  get bytes(): number {
    return this.#position - this.#start;
  }

  /** Leaves what an earlier run wrote. */
  skip(byteLength: number): void {
    this.#position += byteLength;
  }

  append(bytes: Uint8Array): void {
    writeAll(this.#handle, bytes, this.#position);
    this.#position += bytes.byteLength;
  }

  finish(): void {
    fsyncSync(this.#handle);
    closeSync(this.#handle);
  }
}
