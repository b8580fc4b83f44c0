// The slash commands of the terminal chat.
import { nearest, WrinkleFreeError } from "../../core/index.ts";
import type { Session } from "./session.ts";

/** What to do after a command: go on, answer the last message, or leave. */
export type Next = "continue" | "answer" | "leave";

interface ChatCommand {
  readonly name: string;
  readonly argument?: string;
  readonly help: string;
  run(session: Session, argument: string, print: (text: string) => void): Promise<Next> | Next;
}

const needed = (argument: string, usage: string): string => {
  if (argument !== "") return argument;
  throw new WrinkleFreeError("usage", `usage: ${usage}`);
};

export const chatCommands: readonly ChatCommand[] = [
  {
    name: "help",
    help: "show this list",
    run(_session, _argument, print) {
      for (const { name, argument, help } of chatCommands) {
        print(`  /${`${name} ${argument ?? ""}`.padEnd(24)} ${help}`);
      }
      print('  Lines between """ and """ are one message. Ctrl-C stops an answer, Ctrl-D leaves.');
      return "continue";
    },
  },
  {
    name: "system",
    argument: "[text]",
    help: "set the system prompt and start anew; without text: none",
    run(session, argument, print) {
      session.system = argument === "" ? undefined : argument;
      session.messages = [];
      print(argument === "" ? "No system prompt." : "System prompt set.");
      return "continue";
    },
  },
  {
    name: "set",
    argument: "[name value]",
    help: "change a setting (/set temperature 0.2); without a name: show all",
    run(session, argument, print) {
      const [name = "", ...rest] = argument.split(/\s+/);
      if (name === "") showSettings(session, print);
      else session.set(name, needed(rest.join(" "), "/set name value"));
      return "continue";
    },
  },
  {
    name: "info",
    help: "show what model this is",
    async run(session, _argument, print): Promise<Next> {
      for (const [key, value] of Object.entries(await session.backend.info())) {
        print(
          `  ${key.padEnd(18)} ${typeof value === "number" ? value.toLocaleString("en") : value}`,
        );
      }
      return "continue";
    },
  },
  {
    name: "regen",
    help: "answer the last message again",
    run(session) {
      session.dropAnswer();
      return "answer";
    },
  },
  {
    name: "clear",
    help: "forget the conversation",
    run(session) {
      session.messages = [];
      return "continue";
    },
  },
  {
    name: "save",
    argument: "file",
    help: "write the conversation to a file",
    async run(session, argument, print): Promise<Next> {
      await session.save(needed(argument, "/save file"));
      print(`Saved ${session.messages.length} messages.`);
      return "continue";
    },
  },
  {
    name: "load",
    argument: "file",
    help: "go on with a saved conversation",
    async run(session, argument, print): Promise<Next> {
      await session.load(needed(argument, "/load file"));
      print(`Loaded ${session.messages.length} messages.`);
      return "continue";
    },
  },
  { name: "exit", help: "leave (also /bye, Ctrl-D)", run: () => "leave" },
];

function showSettings(session: Session, print: (text: string) => void): void {
  for (const [name, schema] of Object.entries(session.schema.properties)) {
    const value = session.settings[name] ?? schema.default;
    const own = name in session.settings ? " (set)" : "";
    if (value !== undefined) print(`  ${name.padEnd(22)} ${JSON.stringify(value)}${own}`);
  }
}

/** Runs a line that begins with "/". Throws `usage` for an unknown command. */
export async function runChatCommand(
  session: Session,
  line: string,
  print: (text: string) => void,
): Promise<Next> {
  const [, word = "", argument = ""] = /^\/(\S*)\s*(.*)$/s.exec(line) ?? [];
  const name = word === "bye" || word === "quit" ? "exit" : word === "?" ? "help" : word;
  const command = chatCommands.find((candidate) => candidate.name === name);
  if (command) return command.run(session, argument.trim(), print);
  const guess = nearest(
    name,
    chatCommands.map((candidate) => candidate.name),
  );
  throw new WrinkleFreeError("usage", `there is no command /${word}`, {
    hint: guess ? `Did you mean /${guess}?` : "/help lists them.",
  });
}
