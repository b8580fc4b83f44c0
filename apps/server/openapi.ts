// The OpenAPI document of the server, made from the same schemas that check the requests.
import { bare, type Route } from "./route.ts";
import { version } from "./version.ts";

/** Schemas carry TypeBox's symbols and our own `expected`; a document carries neither. */
function plainSchema(schema: unknown): unknown {
  return JSON.parse(
    JSON.stringify(schema, (key, value) => (key === "expected" ? undefined : value)),
  );
}

const errorSchema = {
  type: "object",
  required: ["error"],
  properties: {
    error: {
      type: "object",
      required: ["message", "type", "code", "param"],
      properties: {
        message: { type: "string" },
        type: { type: "string" },
        code: { type: "integer", description: "The HTTP status." },
        param: { type: ["string", "null"], description: "The field that is wrong." },
      },
    },
  },
};

const errorReply = {
  description: "What is wrong, and where.",
  content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
};

/** The OpenAPI 3.1 document of the routes; aliases are described too. */
export function openApiDocument(routes: readonly Route[]): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    for (const path of route.paths) {
      const documented = path.replace(/:(\w+)/g, "{$1}");
      paths[documented] ??= {};
      paths[documented][route.method.toLowerCase()] = operation(route, path);
    }
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "WrinkleFree",
      version,
      description:
        "Ternary language models over HTTP, as OpenAI's, llama.cpp's and other clients ask.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    tags: [...new Set(routes.map((route) => route.tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: { Error: errorSchema },
      securitySchemes: { key: { type: "http", scheme: "bearer" } },
    },
    security: [{ key: [] }],
  };
}

function operation(route: Route, path: string): object {
  const names = [...path.matchAll(/:(\w+)/g)].map((match) => match[1]);
  const words = path.split(/\W+/).filter((word) => word !== "");
  return {
    operationId: [route.method.toLowerCase(), ...words].join("_"),
    summary: route.summary,
    tags: [route.tag],
    ...(route.public && { security: [] }),
    ...(names.length > 0 && {
      parameters: names.map((name) => ({
        name,
        in: "path",
        required: true,
        schema: { type: "string" },
      })),
    }),
    ...(route.body && {
      requestBody: {
        required: route.bodyOptional !== true,
        content: { "application/json": { schema: plainSchema(route.body) } },
      },
    }),
    responses: { 200: { description: "The answer." }, "4XX": errorReply, "5XX": errorReply },
  };
}

/** The route that serves the document. */
export function openApiRoute(routes: readonly Route[]): Route {
  return bare({
    method: "GET",
    paths: ["/openapi.json"],
    tag: "OpenAI",
    summary: "This document",
    public: true,
    handle: () => Response.json(openApiDocument(routes)),
  });
}
