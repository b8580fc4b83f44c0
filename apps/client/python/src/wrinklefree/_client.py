# The client for ordinary code; _async_client.py has the same methods for asyncio and trio.
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast

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


class AnswerStream(Iterator[str]):
    """An answer's text piece by piece; afterwards `answer` holds the whole.

    Leaving a `with` block, or `close()`, ends the request, and the server stops working on it.
    """

    def __init__(self, pieces: Callable[["AnswerStream"], Iterator[str]]) -> None:
        self.answer: Answer | None = None
        self._pieces = pieces(self)

    def __next__(self) -> str:
        return next(self._pieces)

    def close(self) -> None:
        """Ends the request if it is not at its end."""
        cast(Any, self._pieces).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Client:
    """Speaks to a server. All methods raise WrinkleFreeError.

    url: a path and a trailing /v1 are understood.
    model: which of the server's models answers; default: its first.
    timeout: seconds that the server may be silent (a long prompt takes minutes on a small machine).
    retries: further tries when there is no connection, the queue is full (429) or the server is not
      ready (503). The server's Retry-After is obeyed up to a minute. A stream that has begun is not
      repeated.
    retry_delay: seconds before the second try; doubles with each.
    http: a client of httpx to use, which stays open.
    """

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
        http: httpx.Client | None = None,
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
        self._http = http or httpx.Client()

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """A client of the server at `url`; `http://:KEY@host` carries an API key."""
        return cls(url, **options)

    def close(self) -> None:
        """Closes the connections."""
        if self._own:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def generate(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> Answer:
        """Goes on with `prompt`."""
        collector = CompletionCollector()
        body = completion_body(prompt, options, self._model, False)
        collector.add(self._text("/completion", body, options))
        if collector.answer is None:
            raise cut()
        return collector.answer

    def stream(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> AnswerStream:
        """The same, piece by piece."""
        body = completion_body(prompt, options, self._model, True)
        return self._stream("/completion", body, options, CompletionCollector())

    def chat(self, messages: Sequence[Message], **options: Unpack[GenerateOptions]) -> Answer:
        """Answers a conversation."""
        collector = ChatCollector()
        body = chat_body(messages, options, self._model, False)
        collector.add(self._text("/v1/chat/completions", body, options))
        return collector.finish()

    def chat_stream(
        self, messages: Sequence[Message], **options: Unpack[GenerateOptions]
    ) -> AnswerStream:
        """The same, piece by piece."""
        body = chat_body(messages, options, self._model, True)
        return self._stream("/v1/chat/completions", body, options, ChatCollector())

    def tokenize(
        self,
        text: str,
        *,
        add_special: bool = False,
        parse_special: bool = True,
        **call: Unpack[CallOptions],
    ) -> list[int]:
        """The token ids of a text. add_special: put the model's first token in front."""
        body = {"content": text, "add_special": add_special, "parse_special": parse_special}
        reply = parse(self._text("/tokenize", self._named(body), call))
        return cast(list[int], reply["tokens"])

    def detokenize(self, tokens: Sequence[int], **call: Unpack[CallOptions]) -> str:
        """The text of token ids."""
        reply = parse(self._text("/detokenize", self._named({"tokens": list(tokens)}), call))
        return cast(str, reply["content"])

    def health(self, **call: Unpack[CallOptions]) -> Health:
        """Whether the server is there and ready; does not raise."""
        try:
            options: CallOptions = {"timeout": 5.0, **call, "retries": 0}
            self._text("/health", None, options)
        except UnavailableError:
            return "loading"
        except WrinkleFreeError:
            return "unreachable"
        return "ok"

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Waits until the server is ready; raises RequestTimeoutError after `timeout` seconds."""
        end = time.monotonic() + timeout
        while (health := self.health()) != "ok":
            if time.monotonic() > end:
                raise RequestTimeoutError(f"{self.url} is {health} after {timeout} s")
            time.sleep(0.1)

    def models(self, **call: Unpack[CallOptions]) -> list[ModelEntry]:
        """The models that the server has."""
        return cast(list[ModelEntry], parse(self._text("/v1/models", None, call))["data"])

    def _named(self, body: dict[str, Any]) -> dict[str, Any]:
        return body if self._model is None else {"model": self._model, **body}

    def _text(self, path: str, body: Mapping[str, Any] | None, call: CallOptions) -> str:
        def run(response: httpx.Response) -> str:
            try:
                response.read()
                return response.text
            finally:
                response.close()

        return self._try(path, body, call, run)

    def _stream(
        self,
        path: str,
        body: Mapping[str, Any],
        call: CallOptions,
        collector: CompletionCollector | ChatCollector,
    ) -> AnswerStream:
        def pieces(stream: AnswerStream) -> Iterator[str]:
            response = self._try(path, body, call, lambda response: response)
            decoder = EventDecoder()
            try:
                for piece in response.iter_bytes():
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
                response.close()
            raise cut()

        return AnswerStream(pieces)

    def _try(
        self,
        path: str,
        body: Mapping[str, Any] | None,
        call: CallOptions,
        run: Callable[[httpx.Response], Result],
    ) -> Result:
        attempt = 0
        while True:
            try:
                return run(self._send(path, body, call.get("timeout", self._timeout)))
            except httpx.HTTPError as cause:
                error: WrinkleFreeError = explain(cause, self.url)
                error.__cause__ = cause
            except WrinkleFreeError as failure:
                error = failure
            delay = delay_before_retry(error, attempt, self._retry_delay)
            if delay is None or attempt >= call.get("retries", self._retries):
                raise error
            attempt += 1
            time.sleep(delay)

    def _send(self, path: str, body: Mapping[str, Any] | None, timeout: float) -> httpx.Response:
        request = self._http.build_request(
            "GET" if body is None else "POST",
            self.url + path,
            json=body,
            headers=self._headers,
            timeout=timeout,
        )
        response = self._http.send(request, stream=True)
        if response.is_success:
            return response
        try:
            response.read()
            raise error_of(response)
        finally:
            response.close()
