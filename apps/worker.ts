// Entry of the engine's Worker: the standard plugins and those the user named.
import { runEngineWorker } from "../core/engine/worker.ts";
import { createRegistry } from "./plugins.ts";

await runEngineWorker(createRegistry);
