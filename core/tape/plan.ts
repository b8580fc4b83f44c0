// Activation memory of a tape: who writes and reads each buffer, and where it lies in one arena.

/** A run of activation rows. Addresses are assigned once the whole tape is recorded. */
export interface ActivationBuffer {
  readonly bytesPerRow: number;
  readonly rows: number;
  /** Index of the first op that touches it, and of the last. */
  first: number;
  last: number;
  /** How many ops read it. */
  reads: number;
  /** Byte offset in the arena, -1 until planned. */
  offset: number;
}

/** A place in a buffer, resolved to an address when the tape is finished. */
export interface Ref {
  readonly buffer: ActivationBuffer;
  readonly offset: number;
}

const alignment = 64;

export function newBuffer(bytesPerRow: number, rows: number): ActivationBuffer {
  return { bytesPerRow, rows, first: -1, last: -1, reads: 0, offset: -1 };
}

export function bufferBytes(buffer: ActivationBuffer): number {
  return Math.ceil((buffer.bytesPerRow * buffer.rows) / alignment) * alignment;
}

/**
 * Gives every buffer an offset so that buffers alive at the same op never overlap (first fit in order
 * of first use). Returns the arena's size in bytes.
 */
export function planBuffers(buffers: readonly ActivationBuffer[]): number {
  const used = buffers.filter((buffer) => buffer.first >= 0).sort((a, b) => a.first - b.first);
  const placed: ActivationBuffer[] = [];
  let size = 0;
  for (const buffer of used) {
    const alive = placed
      .filter((other) => other.last >= buffer.first)
      .sort((a, b) => a.offset - b.offset);
    let offset = 0;
    for (const other of alive) {
      if (offset + bufferBytes(buffer) <= other.offset) break;
      offset = Math.max(offset, other.offset + bufferBytes(other));
    }
    buffer.offset = offset;
    size = Math.max(size, offset + bufferBytes(buffer));
    placed.push(buffer);
  }
  return size;
}
