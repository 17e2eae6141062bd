"""Parameters of requests: query parameters with their limits, job ids, and Last-Event-ID.

A parameter is defined once: handlers read it from a request, and `/openapi.json` describes it.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from aiohttp import web
from multidict import MultiMapping

from marianne_stream.errors import BadParameterError, BadRequestError
from marianne_stream.models import format_iso_time
from marianne_stream.wire import job_ids

# More than any cursor of this package has; the rest is cut off.
MAX_CURSOR_CHARS = 10_000

# Index of the job id in "/api/jobs/{job_id}/…", split at slashes.
JOB_ID_SEGMENT_INDEX = 3

# Returns the public form of a job id: an edge accepts an origin's own ids as well.
JOB_ID_RESOLVER: web.AppKey[Callable[[str], str]] = web.AppKey("JOB_NAMES")

INTEGER_RE = re.compile(r"[+-]?[0-9]{1,30}")
NUMBER_RE = re.compile(
    r"[+-]?([0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})(e[+-]?[0-9]{1,3})?", re.IGNORECASE
)


class HasQuery(Protocol):
    """A request, or a part of a combined stream."""

    @property
    def query(self) -> MultiMapping[str]:
        """Parameters by name; a name may be repeated."""


@dataclass(frozen=True, slots=True)
class Parameter(ABC):
    """Query parameter; the description is for OpenAPI."""

    name: str
    description: str

    @abstractmethod
    def make_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the value."""

    def to_openapi(self) -> dict[str, Any]:
        """Return the parameter object of OpenAPI 3.1."""
        schema = self.make_schema()
        return {"name": self.name, "in": "query", "description": self.description, "schema": schema}


@dataclass(frozen=True, slots=True)
class NumberParameter(Parameter):
    """Number in a range.

    Attributes:
        label: name in error messages, if it is another.
        unit: unit that error messages append to the range.
    """

    default: float
    minimum: float
    maximum: float
    label: str = ""
    unit: str = ""
    is_integer: bool = False

    def read(self, request: HasQuery) -> float:
        """Return the value in a request; raise BadParameterError if it is invalid or repeated."""
        text = read_single(request, self.name)
        if text is None:
            return self.default
        # float() also accepts underscores, blanks and the digits of other scripts.
        if not (INTEGER_RE if self.is_integer else NUMBER_RE).fullmatch(text):
            kind = "an integer" if self.is_integer else "a number"
            raise BadParameterError(
                detail=f"{self.name} must be {kind}, got {repr_truncated(text)}"
            )
        value = float(text)
        if not self.minimum <= value <= self.maximum:
            label = self.label or self.name
            raise BadParameterError(
                detail=f"{label} must be between {self.minimum} and {self.maximum}{self.unit}"
            )
        return value

    def make_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the value."""
        return {
            "type": "integer" if self.is_integer else "number",
            "minimum": self.minimum,
            "maximum": self.maximum,
            "default": self.default,
        }


@dataclass(frozen=True, slots=True)
class TextParameter(Parameter):
    """Text of at most `max_chars` characters."""

    is_repeatable: bool = False
    max_chars: int | None = None

    def read(self, request: HasQuery) -> str | None:
        """Return the value in a request, or None.

        Raises:
            BadParameterError: it is repeated, or too long.
        """
        text = read_single(request, self.name)
        if text is not None and self.max_chars is not None and len(text) > self.max_chars:
            raise BadParameterError(
                detail=f"{self.name} must be at most {self.max_chars} characters long, "
                f"got {len(text)}"
            )
        return text

    def read_all(self, request: HasQuery) -> list[str]:
        """Return all values in a request."""
        return request.query.getall(self.name, [])

    def make_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the value."""
        limit = {"maxLength": self.max_chars} if self.max_chars is not None else {}
        schema = {"type": "string", **limit}
        return {"type": "array", "items": schema} if self.is_repeatable else schema


@dataclass(frozen=True, slots=True)
class TimeParameter(Parameter):
    """Time as ISO 8601 with an offset or `Z`."""

    is_required: bool = False

    def read(self, request: HasQuery) -> float | None:
        """Return the value in epoch seconds, or None; raise BadParameterError if it is invalid."""
        text = read_single(request, self.name)
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(text.upper())
            if moment.tzinfo is not None and format_iso_time(moment.timestamp()) is not None:
                return moment.timestamp()
        except (ValueError, OverflowError):
            pass
        raise BadParameterError(
            detail=f"{self.name} must be a time as ISO 8601 with an offset or Z, got "
            f"{repr_truncated(text)}"
        )

    def make_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the value."""
        return {"type": "string", "format": "date-time"}

    def to_openapi(self) -> dict[str, Any]:
        """Return the parameter object of OpenAPI 3.1."""
        return Parameter.to_openapi(self) | ({"required": True} if self.is_required else {})


@dataclass(frozen=True, slots=True)
class ChoiceParameter(Parameter):
    """Word from a list of allowed words."""

    choices: tuple[str, ...]
    default: str | None = None

    def read(self, request: HasQuery) -> str | None:
        """Return the word in a request; raise BadParameterError if it is invalid or repeated."""
        text = read_single(request, self.name)
        if text is None:
            return self.default
        if text not in self.choices:
            words = ", ".join(self.choices)
            raise BadParameterError(
                detail=f"{self.name} must be one of {words}, got {repr_truncated(text)}"
            )
        return text

    def make_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the value."""
        default = {"default": self.default} if self.default is not None else {}
        return {"type": "string", "enum": list(self.choices), **default}


@dataclass(frozen=True, slots=True)
class FlagParameter(Parameter):
    """Boolean: `true` or `1`, `false` or `0`."""

    default: bool

    def read(self, request: HasQuery) -> bool:
        """Return the value in a request; raise BadParameterError if it is invalid or repeated."""
        text = read_single(request, self.name)
        if text is None:
            return self.default
        if text not in ("true", "false", "1", "0"):
            raise BadParameterError(
                detail=f"{self.name} must be true or false, got {repr_truncated(text)}"
            )
        return text in ("true", "1")

    def make_schema(self) -> dict[str, Any]:
        """Return the JSON schema of the value."""
        return {"type": "boolean", "default": self.default}


LAST_EVENT_ID = TextParameter(
    "last_event_id",
    "Cursor to resume from, for clients that cannot send a Last-Event-ID header, which wins.",
)


def read_single(request: HasQuery, name: str) -> str | None:
    """Return the value of a parameter, or None; raise BadParameterError if it is repeated."""
    values = request.query.getall(name, [])
    if len(values) > 1:
        raise BadParameterError(detail=f"{name} must be given once, got it {len(values)} times")
    return values[0] if values else None


def repr_truncated(text: str) -> str:
    """Return what a client sent, short enough for an error message."""
    return repr(text if len(text) <= 40 else text[:40] + "…")


def read_job_id(request: web.Request) -> str:
    """Return the job id in the path; raise BadRequestError if the segment cannot be a job id."""
    # The router's own decoding would replace bytes that are not UTF-8.
    segment = request.rel_url.raw_path.split("/")[JOB_ID_SEGMENT_INDEX]
    try:
        return request.app[JOB_ID_RESOLVER](job_ids.from_path_segment(segment))
    except ValueError as error:
        raise BadRequestError(detail=f"{error}, got {repr_truncated(segment)}") from error


def read_last_event_id(request: web.Request) -> str:
    """Return the cursor of a reconnecting client: the header, else the parameter, else ""."""
    text = request.headers.get("Last-Event-ID") or LAST_EVENT_ID.read(request) or ""
    return text[:MAX_CURSOR_CHARS]
