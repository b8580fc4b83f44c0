// Sets the project up where needed, then runs Bun with the given arguments: node run.mjs FILE ...
import { spawn } from "node:child_process";
import { bun, root, SetupError, setup } from "./setup.mjs";

try {
  setup();
  const child = spawn(bun(), process.argv.slice(2), { stdio: "inherit", cwd: root });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => child.kill(signal));
  }
  // npm runs scripts in a shell, which ends at SIGTERM without passing it on.
  if (process.env.npm_lifecycle_event !== undefined) {
    const parent = process.ppid;
    const watch = () => process.ppid === parent || child.kill("SIGTERM");
    setInterval(watch, 500).unref();
  }
  child.on("error", (error) => {
    console.error(`run: ${error.message}`);
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? (signal === "SIGINT" ? 130 : signal === "SIGTERM" ? 143 : 1);
  });
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`setup: failed: ${error.message}`);
  process.exitCode = 1;
}
