# Between the clients' data and the server's JSON; knows nothing of sync and async.
import codecs
import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from ._errors import ConnectionFailedError, ServerError, WrinkleFreeError, error_from
from ._types import Answer, GenerateOptions, Message, Prompt, ToolCall, Usage

LONGEST_DELAY = 60.0
LONGEST_BACKOFF = 8.0

_FIELDS = ("temperature", "top_k", "top_p", "min_p", "seed")


def server_url(url: str) -> tuple[str, str | None]:
    """The server's root without key, /v1 and slashes at the end; and the key of http://:KEY@host."""
    whole = url if re.match(r"^[a-z]+://", url, re.I) else f"http://{url}"
    parts = urlsplit(whole)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"not the address of a server: {url}")
    key = unquote(parts.password) if parts.password else None
    host = parts.netloc.rpartition("@")[2]
    path = re.sub(r"/v1$", "", parts.path.rstrip("/"))
    return urlunsplit((parts.scheme, host, path, "", "")), key


def delay_before_retry(error: WrinkleFreeError, attempt: int, first: float) -> float | None:
    """Seconds to wait after try number `attempt`; None: do not try again."""
    if not error.passing:
        return None
    backoff = min(first * 2**attempt, LONGEST_BACKOFF) * random.uniform(0.75, 1.25)
    delay = backoff if error.retry_after is None else error.retry_after
    return delay if delay <= LONGEST_DELAY else None


def sampling_fields(options: GenerateOptions) -> dict[str, Any]:
    """The sampling fields of a request, without those that were left out."""
    given: Mapping[str, Any] = options
    fields = {name: given[name] for name in _FIELDS if given.get(name) is not None}
    stop = options.get("stop")
    if stop is not None:
        fields["stop"] = [stop] if isinstance(stop, str) else list(stop)
    return {**fields, **options.get("extra", {})}


def completion_body(
    prompt: Prompt, options: GenerateOptions, model: str | None, stream: bool
) -> dict[str, Any]:
    """The body of POST /completion."""
    limit = options.get("max_tokens")
    return {
        **({} if model is None else {"model": model}),
        "prompt": prompt if isinstance(prompt, str) else list(prompt),
        **({} if limit is None else {"n_predict": limit}),
        **sampling_fields(options),
        "stream": stream,
    }


def chat_body(
    messages: Sequence[Message], options: GenerateOptions, model: str | None, stream: bool
) -> dict[str, Any]:
    """The body of POST /v1/chat/completions."""
    limit = options.get("max_tokens")
    return {
        "model": model or "default",
        "messages": list(messages),
        **({} if limit is None else {"max_tokens": limit}),
        **sampling_fields(options),
        **({"stream": True, "stream_options": {"include_usage": True}} if stream else {}),
    }


class CompletionCollector:
    """Puts an answer of /completion together."""

    def __init__(self) -> None:
        self._text = ""
        self.answer: Answer | None = None

    def add(self, data: str) -> str:
        """Takes a reply or an event; returns the text that is new."""
        reply = parse(data)
        text = str(reply.get("content", ""))
        self._text += text
        if reply.get("stop"):
            self.answer = Answer(
                self._text,
                "length" if reply.get("stop_type") == "limit" else "stop",
                Usage(
                    int(reply.get("tokens_evaluated", 0)),
                    int(reply.get("timings", {}).get("cache_n", 0)),
                    int(reply.get("tokens_predicted", 0)),
                ),
                str(reply.get("model", "")),
            )
        return text


class ChatCollector:
    """Puts an answer of /v1/chat/completions together, from one reply or from a stream's chunks."""

    def __init__(self) -> None:
        self._text = ""
        self._finish_reason = "stop"
        self._model = ""
        self._usage: Mapping[str, Any] = {}
        self._calls: dict[int, ToolCall] = {}
        self.answer: Answer | None = None

    def add(self, data: str) -> str:
        """Takes a reply or an event; returns the text that is new."""
        if data == "[DONE]":
            self.answer = self.finish()
            return ""
        reply = parse(data)
        choice: Mapping[str, Any] = next(iter(reply.get("choices") or ()), {})
        message: Mapping[str, Any] = choice.get("message") or choice.get("delta") or {}
        text = message.get("content") or ""
        self._text += text
        self._model = reply.get("model", self._model)
        self._usage = reply.get("usage") or self._usage
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        for position, call in enumerate(message.get("tool_calls") or ()):
            self._add_call(call.get("index", position), call)
        return str(text)

    def _add_call(self, index: int, call: Mapping[str, Any]) -> None:
        empty: ToolCall = {
            "id": "",
            "type": "function",
            "function": {"name": "", "arguments": ""},
        }
        known = self._calls.setdefault(index, empty)
        function = call.get("function", {})
        known["id"] = known["id"] or call.get("id", "")
        known["function"]["name"] = known["function"]["name"] or function.get("name", "")
        known["function"]["arguments"] += function.get("arguments", "")

    def finish(self) -> Answer:
        """The answer of what was added so far."""
        usage = self._usage
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        return Answer(
            self._text,
            self._finish_reason,
            Usage(usage.get("prompt_tokens", 0), cached, usage.get("completion_tokens", 0)),
            self._model,
            tuple(self._calls[index] for index in sorted(self._calls)),
        )


class EventDecoder:
    """Server-sent events from bytes. (httpx's lines also end at U+2028, which JSON may hold.)"""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, piece: bytes) -> list[str]:
        """The data of the events that `piece` completes."""
        *events, self._rest = re.split(
            "\r\n\r\n|\n\n", self._rest + self._decoder.decode(piece)
        )
        found = []
        for event in events:
            lines = [line for line in re.split("\r?\n", event) if line.startswith("data:")]
            if lines:
                found.append("\n".join(line[5:].removeprefix(" ") for line in lines))
        return found


def parse(data: str) -> dict[str, Any]:
    """An answer or event as an object; raises what an error object says."""
    try:
        value = json.loads(data)
    except ValueError as cause:
        raise ServerError(f"the answer is not JSON: {data[:100]}") from cause
    if not isinstance(value, dict):
        raise ServerError(f"the answer is not an object: {data[:100]}")
    if "error" in value:
        raise error_from(value)
    return value


def cut() -> ConnectionFailedError:
    """The error of a stream without its end."""
    return ConnectionFailedError("the stream ended before the answer did")
