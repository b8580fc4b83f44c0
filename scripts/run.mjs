// Sets the project up where needed, then runs Bun with the given arguments: node run.mjs FILE ...
import { runBun } from "../bin/bun.mjs";
import { bun, root, SetupError, setup } from "./setup.mjs";

try {
  setup();
  runBun(bun(), process.argv.slice(2), { cwd: root });
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`setup: failed: ${error.message}`);
  process.exitCode = 1;
}
