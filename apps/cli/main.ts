// Entry of the wrinklefree command.
import { runCommand } from "./program.ts";

await runCommand();
