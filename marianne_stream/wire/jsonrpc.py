"""JSON-RPC 2.0, one message a line: requests made, answers and notifications read.

Pure: it must not know which methods there are, or what carries the lines.
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from marianne_stream.wire import json_text

# The largest message of the conductor's protocol, its newline not counted.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024

# Those of the conductor's error codes that mean something of their own.
JOB_NOT_FOUND = -32000
SHUTTING_DOWN = -32003


class ErrorObject(msgspec.Struct, frozen=True):
    """The error of an answer (JSON-RPC 2.0 section 5.1)."""

    code: int
    message: str = ""


class Message(msgspec.Struct, frozen=True):
    """A line that came in. A result and params stay raw until somebody asks for a type."""

    id: int | str | None = None
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw(b"null")
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: ErrorObject | None = None


def make_request(number: int, method: str, params: Mapping[str, Any] | None = None) -> bytes:
    """A request as a line, its newline included. Params left out are an empty object."""
    body = {"jsonrpc": "2.0", "method": method, "params": params or {}, "id": number}
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def parse_message(line: bytes) -> Message:
    """A line as a message.

    Raises:
        ValueError: it is not JSON, or not a JSON-RPC message.
    """
    return json_text.decode(line, Message)
