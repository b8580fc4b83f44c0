// TODO
export async function runLoad(_o: unknown, _r: unknown): Promise<void> {}
