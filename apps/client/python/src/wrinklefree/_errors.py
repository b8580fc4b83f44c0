# Why a call failed: one class for each kind of failure, and how answers become them.
import json
import time
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar

import httpx


class WrinkleFreeError(Exception):
    """What all errors of this package are. `kind` names the class for code that is shared."""

    kind: ClassVar[str] = "server"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        #: HTTP status; None where there was no answer.
        self.status = status
        #: The request's field that is wrong.
        self.param = param
        #: The server's name of the request, for its log.
        self.request_id = request_id
        #: Seconds after which the server wants to be asked again.
        self.retry_after = retry_after

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed a little later."""
        return self.status in (408, 502, 504)


class BadRequestError(WrinkleFreeError):
    """A field is wrong (400); `param` names it."""

    kind = "bad_request"


class ContextExceededError(BadRequestError):
    """The prompt is longer than the context (400)."""

    kind = "context_exceeded"


class AuthenticationError(WrinkleFreeError):
    """The API key is missing, wrong, or may not do this (401, 403)."""

    kind = "authentication"


class NotFoundError(WrinkleFreeError):
    """No such model or route (404)."""

    kind = "not_found"


class ServerError(WrinkleFreeError):
    """The server failed (5xx), or answered what is not its language."""


class _Passing(WrinkleFreeError):
    @property
    def passing(self) -> bool:
        return True


class OverloadedError(_Passing):
    """The queue is full (429)."""

    kind = "overloaded"


class UnavailableError(_Passing):
    """The model still loads, or the server shuts down (503)."""

    kind = "unavailable"


class ConnectionFailedError(_Passing):
    """No connection, or it broke before the answer's end."""

    kind = "connection"


class RequestTimeoutError(WrinkleFreeError):
    """Silence for longer than the timeout."""

    kind = "timeout"


def error_of(response: httpx.Response) -> WrinkleFreeError:
    """The error of an answer (already read) that is not a success."""
    text = response.text
    try:
        body = json.loads(text)
    except ValueError:
        # A proxy's page, perhaps: its text says more than nothing.
        body = None
    return error_from(
        body,
        response.status_code,
        text[:300] or response.reason_phrase,
        request_id=response.headers.get("x-request-id"),
        retry_after=_retry_after(response.headers.get("retry-after")),
    )


def error_from(
    body: Any,
    status: int | None = None,
    text: str = "the server failed",
    *,
    request_id: str | None = None,
    retry_after: float | None = None,
) -> WrinkleFreeError:
    """The error of an error object, which also comes as an event in a stream."""
    error = body.get("error") if isinstance(body, dict) else None
    fields: dict[str, Any] = error if isinstance(error, dict) else {}
    code = fields.get("code")
    status = status or (code if isinstance(code, int) else 500)
    kind = _class_of(status)
    if fields.get("type") == "exceed_context_size_error":
        kind = ContextExceededError
    return kind(
        str(fields.get("message", text)),
        status=status,
        param=fields.get("param"),
        request_id=request_id,
        retry_after=retry_after,
    )


def _class_of(status: int) -> type[WrinkleFreeError]:
    known: dict[int, type[WrinkleFreeError]] = {
        401: AuthenticationError,
        403: AuthenticationError,
        404: NotFoundError,
        408: ServerError,
        429: OverloadedError,
        503: UnavailableError,
    }
    return known.get(status, ServerError if status >= 500 else BadRequestError)


def explain(cause: Exception, url: str) -> WrinkleFreeError:
    """What a failure of httpx means."""
    if isinstance(cause, httpx.TimeoutException) and not isinstance(cause, httpx.ConnectTimeout):
        return RequestTimeoutError(f"{url} was silent for too long")
    return ConnectionFailedError(f"{url} cannot be reached: {cause or type(cause).__name__}")


def _retry_after(header: str | None) -> float | None:
    """A Retry-After header, seconds or a date, in seconds from now."""
    if header is None:
        return None
    if header.isdigit():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None
