# What the clients take and give: plain data.
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

#: Text, or token ids.
Prompt: TypeAlias = str | Sequence[int]

#: "loading": the server is there, its model is not ready yet.
Health: TypeAlias = Literal["ok", "loading", "unreachable"]


class CallOptions(TypedDict, total=False):
    """How one call is made; what is left out is as in the client's options."""

    timeout: float
    """Seconds; see Client."""
    retries: int
    """Further tries after one that failed in a way that may pass."""


class GenerateOptions(CallOptions, total=False):
    """How tokens are chosen and when an answer ends. What is left out has the server's default."""

    max_tokens: int | None
    """Tokens at most; default: until the context is full."""
    temperature: float | None
    """0 takes the most likely token always."""
    top_k: int | None
    top_p: float | None
    min_p: float | None
    seed: int | None
    """0 to 2**32 - 1: the same seed gives the same answer."""
    stop: str | Sequence[str] | None
    """Strings that end the answer and are not part of it."""
    extra: Mapping[str, Any]
    """Any other field of the request by the server's name: grammar, dry_multiplier, tools ..."""


class Function(TypedDict):
    """A function and its arguments as JSON text."""

    name: str
    arguments: str


class ToolCall(TypedDict):
    """A call that the model wants made."""

    id: str
    type: Literal["function"]
    function: Function


class Message(TypedDict):
    """One message of a conversation, as OpenAI has it."""

    role: str
    content: str | None
    tool_calls: NotRequired[Sequence[ToolCall]]
    tool_call_id: NotRequired[str]


class ModelEntry(TypedDict):
    """A model of the server's list; `meta` has its sizes once it is loaded."""

    id: str
    meta: NotRequired[Mapping[str, str | int]]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a request; `cached_tokens` of the prompt had been computed before."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `str(answer)` is its text."""

    text: str
    finish_reason: str
    """"stop": it came to its end; "length": there was no room for more; "tool_calls"."""
    usage: Usage
    model: str
    """The model that answered."""
    tool_calls: Sequence[ToolCall] = ()

    def __str__(self) -> str:
        return self.text
