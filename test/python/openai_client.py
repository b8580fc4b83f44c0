# Drives a server with OpenAI's Python client, unchanged; prints the name of every check that held.
import asyncio
import inspect
import json
import sys

import openai
from pydantic import BaseModel

base = sys.argv[1]
client = openai.OpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0)
user = [{"role": "user", "content": "Tell me a story."}]
weather = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 12},
                "unit": {"enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


class Person(BaseModel):
    name: str
    age: int
    tags: list[str]


def models():
    listed = [model.id for model in client.models.list()]
    assert listed == ["tern"], listed
    assert client.models.retrieve("tern").owned_by == "wrinklefree"


def chat():
    reply = client.chat.completions.create(
        model="tern", messages=user, max_completion_tokens=8, temperature=0, seed=1
    )
    choice = reply.choices[0]
    assert choice.finish_reason == "length" and choice.message.role == "assistant"
    assert reply.usage.completion_tokens == 8
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + 8


def chat_choices_and_logprobs():
    reply = client.chat.completions.create(
        model="tern", messages=user, max_tokens=6, n=3, seed=7, logprobs=True, top_logprobs=4
    )
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    for choice in reply.choices:
        entries = choice.logprobs.content
        assert len(entries) >= 1 and all(len(entry.top_logprobs) == 4 for entry in entries)
        assert all(entry.logprob <= 0 for entry in entries)


def chat_stream():
    whole = client.chat.completions.create(
        model="tern", messages=user, max_tokens=12, temperature=0
    )
    text, usage, reason = "", None, None
    with client.chat.completions.create(
        model="tern",
        messages=user,
        max_tokens=12,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        for chunk in stream:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                text += choice.delta.content or ""
                reason = choice.finish_reason or reason
    assert text == whole.choices[0].message.content, (text, whole)
    assert reason == "length" and usage.completion_tokens == 12


def chat_stop():
    whole = client.chat.completions.create(
        model="tern", messages=user, max_tokens=20, temperature=0
    ).choices[0]
    stop = whole.message.content[4:9]
    cut = client.chat.completions.create(
        model="tern", messages=user, max_tokens=20, temperature=0, stop=[stop]
    ).choices[0]
    assert cut.finish_reason == "stop"
    assert cut.message.content == whole.message.content.split(stop)[0]


def tools():
    reply = client.chat.completions.create(
        model="tern",
        messages=user,
        tools=[weather],
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=300,
    )
    choice = reply.choices[0]
    assert choice.finish_reason == "tool_calls", choice
    call = choice.message.tool_calls[0]
    arguments = json.loads(call.function.arguments)
    assert call.function.name == "get_weather" and set(arguments) == {"city", "unit"}
    again = client.chat.completions.create(
        model="tern",
        messages=[
            *user,
            choice.message,
            {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"},
        ],
        tools=[weather],
        max_tokens=4,
    )
    assert again.choices[0].message.role == "assistant"


def tools_stream():
    with client.chat.completions.stream(
        model="tern",
        messages=user,
        tools=[weather],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        parallel_tool_calls=False,
        max_tokens=300,
    ) as stream:
        for _ in stream:
            pass
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert call.function.parsed_arguments.keys() == {"city", "unit"}


def schema():
    reply = client.chat.completions.parse(
        model="tern", messages=user, response_format=Person, max_tokens=400, temperature=0.7, seed=3
    )
    assert isinstance(reply.choices[0].message.parsed, Person), reply


def completions():
    prompt = "Once upon a time"
    reply = client.completions.create(
        model="tern", prompt=[prompt, prompt], echo=True, logprobs=2, max_tokens=3, temperature=0
    )
    assert [choice.index for choice in reply.choices] == [0, 1]
    for choice in reply.choices:
        logprobs = choice.logprobs
        assert choice.text.startswith(prompt)
        assert logprobs.token_logprobs[0] is None and logprobs.top_logprobs[0] is None
        assert len(logprobs.tokens) == len(logprobs.text_offset) == reply.usage.total_tokens / 2
    streamed = client.completions.create(
        model="tern", prompt=prompt, max_tokens=3, temperature=0, stream=True
    )
    assert prompt + "".join(c.choices[0].text for c in streamed) == reply.choices[0].text


def embeddings():
    reply = client.embeddings.create(model="tern", input=["one", "two"])
    plain = client.embeddings.create(model="tern", input="two", encoding_format="float")
    assert reply.data[1].embedding == plain.data[0].embedding
    short = client.embeddings.create(model="tern", input="two", dimensions=4)
    assert len(short.data[0].embedding) == 4


def responses():
    reply = client.responses.create(model="tern", input="Hi", max_output_tokens=6)
    assert reply.status in ("incomplete", "completed") and reply.usage.output_tokens <= 6
    text, kinds = "", []
    for event in client.responses.create(
        model="tern", input="Hi", max_output_tokens=16, temperature=0, stream=True
    ):
        kinds.append(event.type)
        if event.type == "response.output_text.delta":
            text += event.delta
        if event.type in ("response.completed", "response.incomplete"):
            assert event.response.output_text == text
    assert kinds[0] == "response.created", kinds


def errors():
    for call, kind, param in [
        (lambda: client.chat.completions.create(model="t", messages=[]), 400, "messages"),
        (lambda: client.completions.create(model="t", prompt="a", max_tokens=-5), 400, "max_tokens"),
        (lambda: client.completions.create(model="t", prompt="word " * 900), 400, "prompt"),
        (lambda: client.models.retrieve("other"), 404, "model"),
    ]:
        try:
            call()
            raise AssertionError("it was taken")
        except openai.APIStatusError as error:
            assert (error.status_code, error.param) == (kind, param), error


def raw_response():
    reply = client.chat.completions.with_raw_response.create(
        model="tern", messages=user, max_tokens=1, extra_headers={"x-request-id": "mine-1"}
    )
    assert reply.headers["x-request-id"] == "mine-1"
    assert reply.parse().choices[0].finish_reason == "length"


async def asynchronous():
    async with openai.AsyncOpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0) as client:

        async def one(seed: int) -> str:
            reply = await client.chat.completions.create(
                model="tern", messages=user, max_tokens=16, temperature=1, seed=seed
            )
            return reply.choices[0].message.content

        async def streamed(seed: int) -> str:
            text = ""
            stream = await client.chat.completions.create(
                model="tern", messages=user, max_tokens=16, temperature=1, seed=seed, stream=True
            )
            async for chunk in stream:
                text += chunk.choices[0].delta.content or ""
            return text

        whole = await asyncio.gather(*(one(seed) for seed in range(8)))
        parts = await asyncio.gather(*(streamed(seed) for seed in range(8)))
        assert whole == parts, (whole, parts)
        assert len(set(whole)) > 4


async def leaving():
    async with openai.AsyncOpenAI(base_url=f"{base}/v1", api_key="none") as client:
        stream = await client.chat.completions.create(
            model="tern", messages=user, stream=True, extra_body={"ignore_eos": True}
        )
        async for _ in stream:
            break
        await stream.close()


for check in [
    models,
    chat,
    chat_choices_and_logprobs,
    chat_stream,
    chat_stop,
    tools,
    tools_stream,
    schema,
    completions,
    embeddings,
    responses,
    errors,
    raw_response,
    asynchronous,
    leaving,
]:
    asyncio.run(check()) if inspect.iscoroutinefunction(check) else check()
    print(check.__name__, flush=True)
