"""JSON-RPC 2.0 messages, one a line."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from marianne_stream.wire import json_text

# Limit of the conductor's protocol for a message, without its newline.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024

# Error codes of the conductor.
JOB_NOT_FOUND = -32000
SHUTTING_DOWN = -32003


class ErrorObject(msgspec.Struct, frozen=True):
    """Error of a response (JSON-RPC 2.0 section 5.1)."""

    code: int
    message: str = ""


class Message(msgspec.Struct, frozen=True):
    """Received message. Result and params stay raw until they are decoded as a type."""

    id: int | str | None = None
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw(b"null")
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: ErrorObject | None = None


def make_request(number: int, method: str, params: Mapping[str, Any] | None = None) -> bytes:
    """Make a request as a line with its newline."""
    body = {"jsonrpc": "2.0", "method": method, "params": params or {}, "id": number}
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def parse_message(line: bytes) -> Message:
    """Parse a line.

    Raises:
        ValueError: the line is not JSON, or not a JSON-RPC message.
    """
    return json_text.decode(line, Message)
