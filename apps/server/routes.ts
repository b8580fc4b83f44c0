// The routes of all dialects.
import type { Sampler } from "../../core/index.ts";
import { openApiRoute } from "./openapi.ts";
import type { Route, RouteFactory } from "./route.ts";
import { anthropicRoutes } from "./routes/anthropic.ts";
import { embeddingRoutes } from "./routes/embeddings.ts";
import { infillRoutes } from "./routes/infill.ts";
import { introspectionRoutes } from "./routes/introspection.ts";
import { llamaRoutes } from "./routes/llama.ts";
import { missingRoutes } from "./routes/missing.ts";
import { modelRoutes } from "./routes/models.ts";
import { ollamaRoutes } from "./routes/ollama.ts";
import { chatRoutes } from "./routes/openai-chat.ts";
import { completionRoutes } from "./routes/openai-completions.ts";
import { pageRoutes } from "./routes/page.ts";
import { responseRoutes } from "./routes/responses.ts";
import { sglangRoutes } from "./routes/sglang.ts";
import { sglangStateRoutes } from "./routes/sglang-state.ts";
import { slotRoutes } from "./routes/slots.ts";
import { textRoutes } from "./routes/text.ts";

const factories: readonly RouteFactory[] = [
  modelRoutes,
  llamaRoutes,
  infillRoutes,
  embeddingRoutes,
  introspectionRoutes,
  slotRoutes,
  textRoutes,
  chatRoutes,
  completionRoutes,
  responseRoutes,
  anthropicRoutes,
  ollamaRoutes,
  sglangRoutes,
  sglangStateRoutes,
  pageRoutes,
  missingRoutes,
];

/** Every route, with body schemas that hold the options of `samplers`. */
export function allRoutes(samplers: readonly Sampler[]): Route[] {
  const routes = factories.flatMap((create) => create(samplers));
  routes.push(openApiRoute(routes));
  return routes;
}
