// Entry of the engine's own process (--isolate): passes messages between the server and a Worker.
import { relayEngine } from "../core/engine/link.ts";

relayEngine();
