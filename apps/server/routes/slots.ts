// llama.cpp's /slots/{id}: keeps what a slot holds in a file, brings it back, forgets it.
import { basename, join } from "node:path";
import { Type } from "@sinclair/typebox";
import { WrinkleFreeError } from "../../../core/index.ts";
import { badField, HttpError } from "../errors.ts";
import { type Route, type RouteFactory, route } from "../route.ts";
import { type Call, findModel } from "../state.ts";

interface Body {
  filename?: string;
  model?: string;
}

export const slotRoutes: RouteFactory = (): Route[] => [
  route({
    method: "POST",
    paths: ["/slots/:id"],
    tag: "llama.cpp",
    summary: "Save, restore or erase what a slot holds (?action=)",
    bodyOptional: true,
    body: Type.Object({
      filename: Type.Optional(Type.String({ description: "Within --slot-save-path." })),
      model: Type.Optional(Type.String()),
    }),
    handle: (call) => act(call as Call<Body>),
  }),
];

function act(call: Call<Body>): Promise<Response> {
  const { settings } = call.server;
  if (settings.slotSavePath === undefined) {
    throw new HttpError(
      "not_supported_error",
      "This server does not support slots action. Start it with --slot-save-path.",
    );
  }
  const id = Number(call.params.id);
  if (!Number.isInteger(id) || id < 0 || id >= settings.parallel) {
    throw badField("id", `There is no slot ${call.params.id}; there are ${settings.parallel}.`);
  }
  switch (call.query.get("action")) {
    case "save":
      return save(call, id, filePath(call, settings.slotSavePath));
    case "restore":
      return restore(call, id, filePath(call, settings.slotSavePath));
    case "erase":
      return erase(call, id);
    default:
      throw badField("action", "The query's 'action' must be save, restore or erase.");
  }
}

/** A plain file name within the folder; parts that lead out of it are refused. */
function filePath({ body }: Call<Body>, folder: string): string {
  const { filename = "" } = body;
  const plain = /^[\w][\w.-]{0,127}$/.test(filename) && basename(filename) === filename;
  if (plain) return join(folder, filename);
  throw badField("filename", "Field 'filename' must be a plain file name: letters, digits, . _ -");
}

async function save(call: Call<Body>, id: number, path: string): Promise<Response> {
  const { observer } = call.server;
  const model = findModel(call.server, call.body.model);
  const held = observer.last[id];
  if (!held || held.model !== model.id) {
    throw badField("id", `Slot ${id} holds nothing that could be saved.`);
  }
  const start = performance.now();
  const saved = await model.client.saveCache(held.tokens, path).catch((error) => {
    // The client's request is right; it is the disk or the folder that is not.
    throw new HttpError("server_error", nameless(error, path, call));
  });
  return Response.json({
    id_slot: id,
    filename: call.body.filename,
    n_saved: saved.tokens,
    n_written: saved.bytes,
    timings: { save_ms: performance.now() - start },
  });
}

async function restore(call: Call<Body>, id: number, path: string): Promise<Response> {
  const model = findModel(call.server, call.body.model);
  const start = performance.now();
  const tokens = await model.client.restoreCache(path).catch((error) => {
    throw badField("filename", nameless(error, path, call));
  });
  call.server.observer.last[id] = { model: model.id, tokens };
  const file = Bun.file(path);
  return Response.json({
    id_slot: id,
    filename: call.body.filename,
    n_restored: tokens.length,
    n_read: file.size,
    timings: { restore_ms: performance.now() - start },
  });
}

/** The text of a file's error without the folder, which is nobody's business. */
function nameless(error: unknown, path: string, { body }: Call<Body>): string {
  if (!(error instanceof WrinkleFreeError) || error.code === "internal") throw error;
  return error.message.replaceAll(path, body.filename ?? "");
}

async function erase(call: Call<Body>, id: number): Promise<Response> {
  const { last } = call.server.observer;
  const count = last[id]?.tokens.length ?? 0;
  last[id] = undefined;
  return Response.json({ id_slot: id, n_erased: count });
}
