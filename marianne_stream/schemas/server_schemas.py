"""Payloads about errors and the server itself."""

from typing import Literal

from pydantic import Field

from marianne_stream.models import StateSourceName
from marianne_stream.schemas.payload import Payload


class ErrorData(Payload):
    """Body of every error response."""

    detail: str = Field(description="One sentence.")
    code: str = Field(description="Machine-readable code.")


class HealthData(Payload):
    """Response of `GET /health`: the process is alive. It checks no dependency."""

    status: Literal["ok"] = "ok"


class ReadyData(Payload):
    """Response of `GET /ready`: whether jobs can be served, and the reasons if not."""

    ready: bool
    source: StateSourceName
    live: bool
    reasons: tuple[str, ...]
