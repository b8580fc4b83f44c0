# The names and signatures of the clients that came before, so that old code only changes its import.
from collections.abc import AsyncIterator, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, cast

from ._async_client import AsyncClient
from ._client import Client
from ._types import GenerateOptions, Message

_OPTIONS = frozenset(GenerateOptions.__annotations__) | {"timeout", "retries", "extra"}


def _options(fields: dict[str, Any]) -> GenerateOptions:
    """Any field by the server's name: those we do not name go along as they are."""
    known = {name: value for name, value in fields.items() if name in _OPTIONS}
    other = {name: value for name, value in fields.items() if name not in _OPTIONS}
    return cast(GenerateOptions, {**known, "extra": {**known.get("extra", {}), **other}})


class BitNetClient:
    """The old client: answers are plain text. New code uses Client."""

    def __init__(self, host: str = "localhost", port: int = 8080, timeout: float = 60) -> None:
        self._open(f"http://{host}:{port}", timeout)

    @classmethod
    def from_url(cls, url: str, timeout: float = 60) -> Self:
        """A client of the server at `url`."""
        client = cls.__new__(cls)
        client._open(url, timeout)
        return client

    def _open(self, url: str, timeout: float) -> None:
        self._client = Client.from_url(url, timeout=timeout)
        self.base_url = self._client.url
        self.timeout = timeout

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def health_check(self) -> bool:
        """Whether the server is there and ready."""
        return self._client.health() == "ok"

    is_healthy = health = health_check

    def generate(
        self,
        prompt: str,
        max_tokens: int = 128,
        temperature: float = 0.7,
        top_p: float = 0.9,
        top_k: int = 40,
        stop: Sequence[str] | None = None,
        stream: bool = False,
        **fields: Any,
    ) -> str:
        """The text that goes on with `prompt`; `stream` only changes how it is received."""
        fields |= {"max_tokens": max_tokens, "temperature": temperature}
        fields |= {"top_p": top_p, "top_k": top_k, "stop": stop}
        if stream:
            return "".join(self._client.stream(prompt, **_options(fields)))
        return self._client.generate(prompt, **_options(fields)).text

    def generate_stream(
        self,
        prompt: str,
        max_tokens: int = 128,
        temperature: float = 0.7,
        top_p: float = 0.9,
        top_k: int = 40,
        stop: Sequence[str] | None = None,
        **fields: Any,
    ) -> Iterator[str]:
        """The same text, piece by piece."""
        fields |= {"max_tokens": max_tokens, "temperature": temperature}
        fields |= {"top_p": top_p, "top_k": top_k, "stop": stop}
        return self._client.stream(prompt, **_options(fields))

    def chat(
        self,
        messages: Sequence[Message],
        max_tokens: int = 128,
        temperature: float = 0.7,
        **fields: Any,
    ) -> str:
        """The assistant's answer, by the model's own chat template."""
        fields |= {"max_tokens": max_tokens, "temperature": temperature}
        fields.pop("stream", None)
        return self._client.chat(messages, **_options(fields)).text

    def tokenize(self, text: str) -> list[int]:
        """The token ids of a text."""
        return self._client.tokenize(text)

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of token ids."""
        return self._client.detokenize(tokens)


class AsyncBitNetClient:
    """The old client for asyncio: answers are plain text. New code uses AsyncClient."""

    def __init__(self, base_url: str = "http://localhost:8080", timeout: float = 60) -> None:
        self._client = AsyncClient.from_url(base_url, timeout=timeout)
        self.base_url = self._client.url
        self.timeout = timeout

    @classmethod
    def from_url(cls, url: str, timeout: float = 60) -> Self:
        """A client of the server at `url`."""
        return cls(url, timeout)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def health_check(self) -> bool:
        """Whether the server is there and ready."""
        return await self._client.health() == "ok"

    is_healthy = health = health_check

    async def generate(
        self,
        prompt: str,
        max_tokens: int = 128,
        temperature: float = 0.7,
        top_p: float = 0.9,
        top_k: int = 40,
        stop: Sequence[str] | None = None,
        **fields: Any,
    ) -> str:
        """The text that goes on with `prompt`."""
        fields |= {"max_tokens": max_tokens, "temperature": temperature}
        fields |= {"top_p": top_p, "top_k": top_k, "stop": stop}
        return (await self._client.generate(prompt, **_options(fields))).text

    def generate_stream(
        self,
        prompt: str,
        max_tokens: int = 128,
        temperature: float = 0.7,
        **fields: Any,
    ) -> AsyncIterator[str]:
        """The same text, piece by piece."""
        fields |= {"max_tokens": max_tokens, "temperature": temperature}
        return self._client.stream(prompt, **_options(fields))

    async def chat(
        self,
        messages: Sequence[Message],
        max_tokens: int = 128,
        temperature: float = 0.7,
        **fields: Any,
    ) -> str:
        """The assistant's answer, by the model's own chat template."""
        fields |= {"max_tokens": max_tokens, "temperature": temperature}
        return (await self._client.chat(messages, **_options(fields))).text

    async def tokenize(self, text: str) -> list[int]:
        """The token ids of a text."""
        return await self._client.tokenize(text)

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of token ids."""
        return await self._client.detokenize(tokens)
