// OpenAI's /v1/responses: text and tool calls, whole and streamed; nothing is stored.
import { type Static, Type } from "@sinclair/typebox";
import { toolSchema } from "../chat.ts";
import { answerChat, type ChatAnswer, type ChatJob, chatJob, runChat } from "../chat-run.ts";
import { badField } from "../errors.ts";
import { ResponseEvents } from "../response-events.ts";
import { type ReadInput, readInput } from "../response-input.ts";
import { type Route, type RouteFactory, route } from "../route.ts";
import { bodySchema, type GenerationBody, readGeneration } from "../schema.ts";
import { type Call, findModel } from "../state.ts";
import { logFields } from "../usage.ts";

const optional = Type.Optional;

const inputFields = {
  input: Type.Union([Type.String(), Type.Array(Type.Record(Type.String(), Type.Any()))], {
    expected: "text or a list of input items",
  }),
  instructions: optional(Type.String()),
  tools: optional(
    Type.Array(
      Type.Object({
        type: Type.String(),
        name: optional(Type.String({ minLength: 1, maxLength: 128 })),
        description: optional(Type.Union([Type.String(), Type.Null()])),
        parameters: optional(Type.Union([Type.Record(Type.String(), Type.Any()), Type.Null()])),
        strict: optional(Type.Union([Type.Boolean(), Type.Null()])),
        function: optional(toolSchema.properties.function),
      }),
    ),
  ),
  tool_choice: optional(
    Type.Union([
      Type.String(),
      Type.Object({ type: Type.String(), name: optional(Type.String()) }),
    ]),
  ),
  parallel_tool_calls: optional(Type.Boolean()),
};

const ownFields = {
  ...inputFields,
  max_output_tokens: optional(Type.Integer({ minimum: 1 })),
  previous_response_id: optional(Type.String()),
  text: optional(
    Type.Object({
      format: optional(
        Type.Object({
          type: Type.String(),
          name: optional(Type.String()),
          schema: optional(Type.Record(Type.String(), Type.Any())),
        }),
      ),
    }),
  ),
  metadata: optional(Type.Any()),
  store: optional(Type.Boolean()),
  background: optional(Type.Boolean()),
  timings_per_token: optional(Type.Boolean()),
  return_progress: optional(Type.Boolean()),
};

const inputSchema = Type.Object(inputFields);
export type ResponseInput = Static<typeof inputSchema>;

type Body = GenerationBody &
  ResponseInput & {
    max_output_tokens?: number;
    previous_response_id?: string;
    text?: { format?: { type: string; schema?: object } };
    metadata?: unknown;
    timings_per_token?: boolean;
    return_progress?: boolean;
    background?: boolean;
  };

export const responseRoutes: RouteFactory = (samplers): Route[] => [
  route({
    method: "POST",
    paths: ["/v1/responses", "/responses"],
    tag: "OpenAI",
    summary: "Answer an input",
    body: bodySchema(samplers, ownFields),
    handle: (call) => respond(call as unknown as Call<Body>),
  }),
  route({
    method: "POST",
    paths: ["/v1/responses/input_tokens"],
    tag: "OpenAI",
    summary: "Count an input's tokens",
    body: Type.Object({ model: optional(Type.String()), ...inputFields }),
    handle({ server, body }) {
      const model = findModel(server, body.model);
      const input = readInput(body as ResponseInput);
      const job = chatJob(model, { ...input, generation: { sampling: {} } });
      const count = job.generations[0]?.prompt.length ?? 0;
      return Response.json({ object: "response.input_tokens", input_tokens: count });
    },
  }),
];

async function respond(call: Call<Body>): Promise<Response> {
  const { body, server } = call;
  if (body.previous_response_id) {
    throw badField("previous_response_id", "Nothing is stored here; send the whole input.");
  }
  if (body.background) throw badField("background", "Field 'background' is not supported.");
  const model = findModel(server, body.model);
  const fields = {
    ...body,
    max_tokens: body.max_output_tokens ?? body.max_tokens,
    response_format: responseFormat(body.text?.format) ?? body.response_format,
  } as GenerationBody;
  const generation = readGeneration(server, fields, model);
  const input: ReadInput = readInput(body);
  const job = chatJob(model, { ...input, generation });
  const events = new ResponseEvents(base(call, job), {
    progress: body.return_progress,
    timings: body.timings_per_token,
  });
  if (body.stream) return call.stream(stream(call, job, events));
  const [answer] = await answerChat(job, call.abort.signal);
  if (!answer) throw new Error("a finished job has an answer");
  call.note(logFields([answer.completion]));
  return Response.json(events.whole(answer));
}

async function* stream(
  call: Call<Body>,
  job: ChatJob,
  events: ResponseEvents,
): AsyncGenerator<string, void, undefined> {
  let answer: ChatAnswer | undefined;
  for await (const { event } of runChat(job, call.abort.signal)) {
    yield* events.take(event);
    if (event.type === "done") answer = event.answer;
  }
  if (answer) call.note(logFields([answer.completion]));
}

/** The Responses API puts a schema beside its type, the chat API inside of `json_schema`. */
function responseFormat(format: { type: string; schema?: object } | undefined): object | undefined {
  if (format?.type !== "json_schema") return format;
  return { type: "json_schema", json_schema: { schema: format.schema } };
}

function base({ body, id }: Call<Body>, job: ChatJob): Record<string, unknown> {
  return {
    id: `resp_${id.replaceAll("-", "")}`,
    object: "response",
    created_at: Math.floor(Date.now() / 1000),
    model: job.model.id,
    error: null,
    incomplete_details: null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    metadata: body.metadata ?? {},
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    store: false,
    temperature: body.temperature ?? null,
    text: { format: body.text?.format ?? { type: "text" } },
    tool_choice: body.tool_choice ?? "auto",
    tools: body.tools ?? [],
    top_p: body.top_p ?? null,
    truncation: "disabled",
  };
}
