// TODO
export async function runLoadTest(_o: unknown): Promise<void> {}
