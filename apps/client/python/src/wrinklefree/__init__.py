# The package's public face.
from ._async_client import AsyncAnswerStream, AsyncClient
from ._client import AnswerStream, Client
from ._errors import (
    AuthenticationError,
    BadRequestError,
    ConnectionFailedError,
    ContextExceededError,
    NotFoundError,
    OverloadedError,
    RequestTimeoutError,
    ServerError,
    UnavailableError,
    WrinkleFreeError,
)
from ._legacy import AsyncBitNetClient, BitNetClient
from ._server import InferenceServer
from ._types import (
    Answer,
    CallOptions,
    GenerateOptions,
    Health,
    Message,
    ModelEntry,
    Prompt,
    ToolCall,
    Usage,
)

__all__ = [
    "Answer",
    "AnswerStream",
    "AsyncAnswerStream",
    "AsyncBitNetClient",
    "AsyncClient",
    "AuthenticationError",
    "BadRequestError",
    "BitNetClient",
    "CallOptions",
    "Client",
    "ConnectionFailedError",
    "ContextExceededError",
    "GenerateOptions",
    "Health",
    "InferenceServer",
    "Message",
    "ModelEntry",
    "NotFoundError",
    "OverloadedError",
    "Prompt",
    "RequestTimeoutError",
    "ServerError",
    "ToolCall",
    "UnavailableError",
    "Usage",
    "WrinkleFreeError",
]

__version__ = "0.1.0"
