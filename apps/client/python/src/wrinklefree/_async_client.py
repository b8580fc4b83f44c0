# The client for asyncio and trio: the same methods as _client.py's, awaited.
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast

import anyio
import httpx

from ._errors import RequestTimeoutError, UnavailableError, WrinkleFreeError, error_of, explain
from ._types import Answer, CallOptions, GenerateOptions, Health, Message, ModelEntry, Prompt
from ._wire import (
    ChatCollector,
    CompletionCollector,
    EventDecoder,
    chat_body,
    completion_body,
    cut,
    delay_before_retry,
    parse,
    server_url,
)

Result = TypeVar("Result")


class AsyncAnswerStream(AsyncIterator[str]):
    """An answer's text piece by piece; afterwards `answer` holds the whole.

    Leaving an `async with` block, `aclose()`, or cancelling the task ends the request, and the server
    stops working on it.
    """

    def __init__(self, pieces: Callable[["AsyncAnswerStream"], AsyncGenerator[str, None]]) -> None:
        self.answer: Answer | None = None
        self._pieces = pieces(self)

    async def __anext__(self) -> str:
        return await anext(self._pieces)

    async def aclose(self) -> None:
        """Ends the request if it is not at its end."""
        await self._pieces.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


class AsyncClient:
    """Speaks to a server; see Client for the options."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        api_key: str | None = None,
        model: str | None = None,
        timeout: float = 600.0,
        retries: int = 2,
        retry_delay: float = 0.5,
        headers: Mapping[str, str] | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self.url, key = server_url(url)
        api_key = api_key or key
        self._headers = {
            **({"authorization": f"Bearer {api_key}"} if api_key else {}),
            **(headers or {}),
        }
        self._model = model
        self._timeout = timeout
        self._retries = retries
        self._retry_delay = retry_delay
        self._own = http is None
        self._http = http or httpx.AsyncClient()

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """A client of the server at `url`; `http://:KEY@host` carries an API key."""
        return cls(url, **options)

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._own:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def generate(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> Answer:
        """Goes on with `prompt`."""
        collector = CompletionCollector()
        body = completion_body(prompt, options, self._model, False)
        collector.add(await self._text("/completion", body, options))
        if collector.answer is None:
            raise cut()
        return collector.answer

    def stream(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> AsyncAnswerStream:
        """The same, piece by piece."""
        body = completion_body(prompt, options, self._model, True)
        return self._stream("/completion", body, options, CompletionCollector())

    async def chat(
        self, messages: Sequence[Message], **options: Unpack[GenerateOptions]
    ) -> Answer:
        """Answers a conversation."""
        collector = ChatCollector()
        body = chat_body(messages, options, self._model, False)
        collector.add(await self._text("/v1/chat/completions", body, options))
        return collector.finish()

    def chat_stream(
        self, messages: Sequence[Message], **options: Unpack[GenerateOptions]
    ) -> AsyncAnswerStream:
        """The same, piece by piece."""
        body = chat_body(messages, options, self._model, True)
        return self._stream("/v1/chat/completions", body, options, ChatCollector())

    async def tokenize(
        self,
        text: str,
        *,
        add_special: bool = False,
        parse_special: bool = True,
        **call: Unpack[CallOptions],
    ) -> list[int]:
        """The token ids of a text. add_special: put the model's first token in front."""
        body = {"content": text, "add_special": add_special, "parse_special": parse_special}
        reply = parse(await self._text("/tokenize", self._named(body), call))
        return cast(list[int], reply["tokens"])

    async def detokenize(self, tokens: Sequence[int], **call: Unpack[CallOptions]) -> str:
        """The text of token ids."""
        body = self._named({"tokens": list(tokens)})
        return cast(str, parse(await self._text("/detokenize", body, call))["content"])

    async def health(self, **call: Unpack[CallOptions]) -> Health:
        """Whether the server is there and ready; does not raise."""
        try:
            options: CallOptions = {"timeout": 5.0, **call, "retries": 0}
            await self._text("/health", None, options)
        except UnavailableError:
            return "loading"
        except WrinkleFreeError:
            return "unreachable"
        return "ok"

    async def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Waits until the server is ready; raises RequestTimeoutError after `timeout` seconds."""
        end = anyio.current_time() + timeout
        while (health := await self.health()) != "ok":
            if anyio.current_time() > end:
                raise RequestTimeoutError(f"{self.url} is {health} after {timeout} s")
            await anyio.sleep(0.1)

    async def models(self, **call: Unpack[CallOptions]) -> list[ModelEntry]:
        """The models that the server has."""
        reply = parse(await self._text("/v1/models", None, call))
        return cast(list[ModelEntry], reply["data"])

    def _named(self, body: dict[str, Any]) -> dict[str, Any]:
        return body if self._model is None else {"model": self._model, **body}

    async def _text(self, path: str, body: Mapping[str, Any] | None, call: CallOptions) -> str:
        async def run(response: httpx.Response) -> str:
            try:
                await response.aread()
                return response.text
            finally:
                await response.aclose()

        return await self._try(path, body, call, run)

    def _stream(
        self,
        path: str,
        body: Mapping[str, Any],
        call: CallOptions,
        collector: CompletionCollector | ChatCollector,
    ) -> AsyncAnswerStream:
        async def same(response: httpx.Response) -> httpx.Response:
            return response

        async def pieces(stream: AsyncAnswerStream) -> AsyncGenerator[str, None]:
            response = await self._try(path, body, call, same)
            decoder = EventDecoder()
            try:
                async for piece in response.aiter_bytes():
                    for data in decoder.feed(piece):
                        text = collector.add(data)
                        if text:
                            yield text
                        if collector.answer:
                            stream.answer = collector.answer
                            return
            except httpx.HTTPError as cause:
                raise explain(cause, self.url) from cause
            finally:
                await response.aclose()
            raise cut()

        return AsyncAnswerStream(pieces)

    async def _try(
        self,
        path: str,
        body: Mapping[str, Any] | None,
        call: CallOptions,
        run: Callable[[httpx.Response], Awaitable[Result]],
    ) -> Result:
        attempt = 0
        while True:
            try:
                return await run(await self._send(path, body, call.get("timeout", self._timeout)))
            except httpx.HTTPError as cause:
                error: WrinkleFreeError = explain(cause, self.url)
                error.__cause__ = cause
            except WrinkleFreeError as failure:
                error = failure
            delay = delay_before_retry(error, attempt, self._retry_delay)
            if delay is None or attempt >= call.get("retries", self._retries):
                raise error
            attempt += 1
            await anyio.sleep(delay)

    async def _send(
        self, path: str, body: Mapping[str, Any] | None, timeout: float
    ) -> httpx.Response:
        request = self._http.build_request(
            "GET" if body is None else "POST",
            self.url + path,
            json=body,
            headers=self._headers,
            timeout=timeout,
        )
        response = await self._http.send(request, stream=True)
        if response.is_success:
            return response
        try:
            await response.aread()
            raise error_of(response)
        finally:
            await response.aclose()
