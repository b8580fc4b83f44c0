// Native memory that lives as long as its owner: what a tape points to besides the mapped file.
import type { Host } from "../native/host.ts";
import { floatView, type Region, u32View } from "../native/memory.ts";

/** Smallest region: so that every address is real and aligned. */
const minimumBytes = 64;

export class NativeArena implements Disposable {
  protected readonly host: Host;
  readonly #regions: Region[] = [];
  /** Bytes allocated. */
  bytes = 0;

  constructor(host: Host) {
    this.host = host;
  }

  /** Zeroed memory. Throws `out_of_memory`. */
  allocate(bytes: number): number {
    const region = this.host.alloc(Math.max(bytes, minimumBytes), "the model");
    this.#regions.push(region);
    this.bytes += region.bytes;
    return region.address;
  }

  /** Copies float32 values to native memory. */
  floats(values: Float32Array): number {
    const address = this.allocate(values.byteLength);
    floatView(address, values.length).set(values);
    return address;
  }

  /** Copies unsigned 32-bit integers to native memory. */
  integers(values: readonly number[]): number {
    const address = this.allocate(values.length * 4);
    u32View(address, values.length).set(values);
    return address;
  }

  [Symbol.dispose](): void {
    for (const region of this.#regions) region[Symbol.dispose]();
    this.#regions.length = 0;
  }
}
