// Runs before `bun test`: sets up a fresh checkout, and says when the kernels are out of date.
import { setDefaultTimeout } from "bun:test";
import { setup, state } from "./setup.mjs";

// Long enough for a busy machine with two cores; bunfig.toml has no key for it.
setDefaultTimeout(120_000);

const { packages, kernels } = state();
if (packages === "missing" || kernels === "missing") setup();
else if (kernels === "stale") {
  console.error("the kernels are older than their sources; npm run setup builds them anew");
}
