// How far models are loaded, as a line on a terminal that is drawn over.

/** Told of the bytes that are done, of all that there are. */
export type Progress = (loaded: number, total: number) => void;

const mebi = 2 ** 20;
const clearLine = "\r\x1b[K";

/** Draws on standard error, where that is a terminal. */
export function terminalProgress(): Progress | undefined {
  if (!process.stderr.isTTY) return undefined;
  return (loaded, total) => {
    process.stderr.write(`${clearLine}${progressLine(loaded, total)}`);
  };
}

export function progressLine(loaded: number, total: number): string {
  const percent = Math.floor((100 * loaded) / total);
  return `loading ${percent} % (${Math.round(loaded / mebi)} of ${Math.round(total / mebi)} MiB)`;
}

/** Takes the line away again. */
export function clearProgress(): void {
  if (process.stderr.isTTY) process.stderr.write(clearLine);
}
