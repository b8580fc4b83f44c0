// Starts the chat page: draws it, reads the stored conversations, looks for the server.
import { render } from "preact";
import { connect } from "./server.ts";
import { open } from "./store.ts";
import { App } from "./view/app.tsx";

const root = document.getElementById("app");
if (root) render(<App />, root);
void open();
void connect();
