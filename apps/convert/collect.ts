// Runs the garbage collector by the bytes of typed arrays, which do not weigh on its own clock.
import type { Job } from "./encode.ts";

/** Bytes of finished tensors that may wait. */
const most = 64 << 20;
/** Bytes that a weight takes on its way: trits twice, packed, and what the source was decoded to. */
const bytesAWeight = 4;

export class Collector {
  #bytes = 0;

  /** To be told of each job that is done. */
  done(job: Job | undefined): void {
    const weights = job?.tensor.shape.reduce((product, size) => product * size, 1) ?? 0;
    this.#bytes += bytesAWeight * weights;
    if (this.#bytes < most) return;
    this.#bytes = 0;
    Bun.gc(true);
  }
}
