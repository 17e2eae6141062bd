"""The lines that a conductor writes, and how it reads the ones that it gets (JSON-RPC 2.0).

Pure values: it must not know asyncio, sockets or jobs.
"""

import json
from dataclasses import dataclass

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
JOB_NOT_FOUND = -32000


@dataclass(frozen=True, slots=True)
class RpcRequest:
    """One request; a notification has no answer, and its id is None."""

    method: str
    params: dict[str, object]
    id: object
    expects_response: bool

    @property
    def job_id(self) -> str:
        """The job that it asks for, or an empty string."""
        job_id = self.params.get("job_id", "")
        return job_id if isinstance(job_id, str) else ""


@dataclass(frozen=True, slots=True)
class RpcErrorResult:
    """An error in place of a result (JSON-RPC 2.0 section 5.1); `id` of the request, when known."""

    code: int
    message: str
    data: object = None
    id: object = None


def encode_line(value: object) -> bytes:
    """Give one line. Escapes all but ASCII, so that a lone surrogate passes as `\\udcXX`."""
    return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"


def encode_response(request_id: object, result: object) -> bytes:
    """Give the line that answers a request: with its result, or with the refusal in its place."""
    if isinstance(result, RpcErrorResult):
        error = {"code": result.code, "message": result.message, "data": result.data}
        return encode_line({"jsonrpc": "2.0", "error": error, "id": request_id})
    return encode_line({"jsonrpc": "2.0", "result": result, "id": request_id})


def encode_notification(params: dict[str, object]) -> bytes:
    """Give the line of one monitor event."""
    return encode_line({"jsonrpc": "2.0", "method": "monitor.event", "params": params})


def parse_request(line: bytes) -> RpcRequest | RpcErrorResult:
    """Read one line; what cannot be read comes back as the refusal to send."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return RpcErrorResult(PARSE_ERROR, "Parse error: the line is not JSON")
    if not isinstance(message, dict):
        return RpcErrorResult(INVALID_REQUEST, "Invalid request: expected an object")
    method, params = message.get("method"), message.get("params", {})
    if not isinstance(method, str):
        return RpcErrorResult(
            INVALID_REQUEST, "Invalid request: expected a method", id=message.get("id")
        )
    if not isinstance(params, dict):
        return RpcErrorResult(
            INVALID_PARAMS, "Invalid params: expected an object", id=message.get("id")
        )
    return RpcRequest(method, params, message.get("id"), expects_response="id" in message)
