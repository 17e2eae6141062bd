"""JSON-RPC 2.0 messages of a simulated conductor."""

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
    """A request, or a notification, which has no response."""

    method: str
    params: dict[str, object]
    id: object
    expects_response: bool

    @property
    def job_id(self) -> str:
        """Return the `job_id` parameter, or ""."""
        job_id = self.params.get("job_id", "")
        return job_id if isinstance(job_id, str) else ""


@dataclass(frozen=True, slots=True)
class RpcErrorResult:
    """Error in the place of a result (JSON-RPC 2.0 section 5.1)."""

    code: int
    message: str
    data: object = None
    id: object = None


def encode_line(value: object) -> bytes:
    r"""Encode a value as one line of ASCII JSON; a lone surrogate becomes `\\udcXX`."""
    return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"


def encode_response(request_id: object, result: object) -> bytes:
    """Encode the response to a request, with its result or error."""
    if isinstance(result, RpcErrorResult):
        error = {"code": result.code, "message": result.message, "data": result.data}
        return encode_line({"jsonrpc": "2.0", "error": error, "id": request_id})
    return encode_line({"jsonrpc": "2.0", "result": result, "id": request_id})


def encode_notification(params: dict[str, object]) -> bytes:
    """Encode one monitor event."""
    return encode_line({"jsonrpc": "2.0", "method": "monitor.event", "params": params})


def parse_request(line: bytes) -> RpcRequest | RpcErrorResult:
    """Parse one line; return the error to send if it is invalid."""
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


def method_not_found(method: str) -> RpcErrorResult:
    """Return the error for an unknown method."""
    return RpcErrorResult(METHOD_NOT_FOUND, f"Method not found: {method}", {"method": method})
