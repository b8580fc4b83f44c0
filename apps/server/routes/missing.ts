// Routes that clients know and this server cannot serve: each says so with a 501, or with an empty list.
import { Type } from "@sinclair/typebox";
import { HttpError } from "../errors.ts";
import { bare, type Route, type RouteFactory, route } from "../route.ts";

const missing: readonly { paths: readonly string[]; what: string }[] = [
  { paths: ["/v1/rerank", "/rerank", "/v1/reranking", "/reranking"], what: "reranking" },
  { paths: ["/v1/audio/transcriptions"], what: "audio" },
  { paths: ["/props"], what: "changing global properties" },
];

export const missingRoutes: RouteFactory = (): Route[] => [
  ...missing.map(({ paths, what }) =>
    route({
      method: "POST",
      paths,
      tag: "not supported",
      summary: `Answers 501: no ${what}`,
      body: Type.Object({}),
      handle() {
        throw new HttpError("not_supported_error", `This server does not support ${what}.`);
      },
    }),
  ),
  bare({
    method: "GET",
    paths: ["/lora-adapters"],
    tag: "llama.cpp",
    summary: "Adapters: always none",
    handle: () => Response.json([]),
  }),
  route({
    method: "POST",
    paths: ["/lora-adapters"],
    tag: "llama.cpp",
    summary: "Sets the scales of adapters, of which there are none",
    body: Type.Object({}),
    handle: () => Response.json({ success: true }),
  }),
];
