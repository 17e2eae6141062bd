"""What a request may say: parameters with their ranges, job ids, and where a viewer stopped.

A parameter is written down once; requests are read by it, and `/openapi.json` describes it. It must
not know what the values are for.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from marianne_stream.errors import BadParameterError, BadRequestError
from marianne_stream.wire import job_ids

# Ours are under 60 characters; what is longer is none of ours, and is not looked at.
MAX_CURSOR_CHARS = 10_000

# Where the job id stands in "/api/jobs/{job_id}/…".
JOB_ID_SEGMENT_INDEX = 3

# How jobs are called here that have another name elsewhere.
JOB_ID_RESOLVER: web.AppKey[Callable[[str], str]] = web.AppKey("JOB_NAMES")

INTEGER_RE = re.compile(r"[+-]?[0-9]{1,30}")
NUMBER_RE = re.compile(
    r"[+-]?([0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})(e[+-]?[0-9]{1,3})?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class NumberParameter:
    """A number in a range.

    Attributes:
        name: as it stands in the URL.
        default: what it is when it is left out.
        minimum: the least that is allowed.
        maximum: the most that is allowed.
        description: what it does, with its unit.
        label: how an error names it.
        unit: how an error goes on behind the range.
        is_integer: whether it is an integer.
    """

    name: str
    default: float
    minimum: float
    maximum: float
    description: str
    label: str = ""
    unit: str = ""
    is_integer: bool = False

    def read(self, request: web.Request) -> float:
        """The value that a request gives.

        Raises:
            BadParameterError: it is given twice, is not a number, or is out of its range.
        """
        text = read_single(request, self.name)
        if text is None:
            return self.default
        # Python's own reading takes more than a client could mean: underscores, blanks, other
        # scripts' digits.
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

    def to_openapi(self) -> dict[str, Any]:
        """As a parameter object of OpenAPI 3.1."""
        schema = {
            "type": "integer" if self.is_integer else "number",
            "minimum": self.minimum,
            "maximum": self.maximum,
            "default": self.default,
        }
        return {"name": self.name, "in": "query", "description": self.description, "schema": schema}


@dataclass(frozen=True, slots=True)
class TextParameter:
    """A text.

    Attributes:
        name: as it stands in the URL.
        description: what it does.
        is_repeatable: whether it may be given more than once.
        max_chars: how many characters it may have, where there is a limit.
    """

    name: str
    description: str
    is_repeatable: bool = False
    max_chars: int | None = None

    def read(self, request: web.Request) -> str | None:
        """The value that a request gives, or None.

        Raises:
            BadParameterError: it is given twice.
        """
        return read_single(request, self.name)

    def read_all(self, request: web.Request) -> list[str]:
        """All values that a request gives."""
        return request.query.getall(self.name, [])

    def to_openapi(self) -> dict[str, Any]:
        """As a parameter object of OpenAPI 3.1."""
        schema: dict[str, Any] = {"type": "string"}
        if self.max_chars is not None:
            schema["maxLength"] = self.max_chars
        if self.is_repeatable:
            schema = {"type": "array", "items": schema}
        return {"name": self.name, "in": "query", "description": self.description, "schema": schema}


@dataclass(frozen=True, slots=True)
class ChoiceParameter:
    """One of a few words.

    Attributes:
        name: as it stands in the URL.
        choices: what it may be.
        description: what it does.
        default: what it is when it is left out.
    """

    name: str
    choices: tuple[str, ...]
    description: str
    default: str | None = None

    def read(self, request: web.Request) -> str | None:
        """The word that a request gives.

        Raises:
            BadParameterError: it is given twice, or is none of the words.
        """
        text = read_single(request, self.name)
        if text is None:
            return self.default
        if text not in self.choices:
            words = ", ".join(self.choices)
            raise BadParameterError(
                detail=f"{self.name} must be one of {words}, got {repr_truncated(text)}"
            )
        return text

    def to_openapi(self) -> dict[str, Any]:
        """As a parameter object of OpenAPI 3.1."""
        schema: dict[str, Any] = {"type": "string", "enum": list(self.choices)}
        if self.default is not None:
            schema["default"] = self.default
        return {"name": self.name, "in": "query", "description": self.description, "schema": schema}


@dataclass(frozen=True, slots=True)
class FlagParameter:
    """Yes or no: `true` or `1`, `false` or `0`.

    Attributes:
        name: as it stands in the URL.
        default: what it is when it is left out.
        description: what it does.
    """

    name: str
    default: bool
    description: str

    def read(self, request: web.Request) -> bool:
        """The value that a request gives.

        Raises:
            BadParameterError: it is given twice, or is neither.
        """
        text = read_single(request, self.name)
        if text is None:
            return self.default
        if text not in ("true", "false", "1", "0"):
            raise BadParameterError(
                detail=f"{self.name} must be true or false, got {repr_truncated(text)}"
            )
        return text in ("true", "1")

    def to_openapi(self) -> dict[str, Any]:
        """As a parameter object of OpenAPI 3.1."""
        schema = {"type": "boolean", "default": self.default}
        return {"name": self.name, "in": "query", "description": self.description, "schema": schema}


Parameter = NumberParameter | TextParameter | ChoiceParameter | FlagParameter

LAST_EVENT_ID = TextParameter(
    "last_event_id",
    "Where to resume, for clients that cannot send a Last-Event-ID header; the header wins.",
)


def read_single(request: web.Request, name: str) -> str | None:
    """The one value of a parameter, or None where it is left out.

    Raises:
        BadParameterError: it is given more than once.
    """
    values = request.query.getall(name, [])
    if len(values) > 1:
        raise BadParameterError(detail=f"{name} must be given once, got it {len(values)} times")
    return values[0] if values else None


def repr_truncated(text: str) -> str:
    """What a client sent, short enough to be said back."""
    return repr(text if len(text) <= 40 else text[:40] + "…")


def read_job_id(request: web.Request) -> str:
    """The job id in the path of a request, in its written form, and as it is shown here.

    Raises:
        BadRequestError: it holds what no job id can.
    """
    # The router's own decoding would replace bytes that are not UTF-8.
    segment = request.rel_url.raw_path.split("/")[JOB_ID_SEGMENT_INDEX]
    try:
        return resolve_job_id(request, job_ids.from_path_segment(segment))
    except ValueError as error:
        raise BadRequestError(detail=f"{error}, got {repr_truncated(segment)}") from error


def resolve_job_id(request: web.Request, job_id: str) -> str:
    """A job id as it is shown here: what somebody may see goes by that alone."""
    return request.app[JOB_ID_RESOLVER](job_id)


def read_last_event_id(request: web.Request) -> str:
    """Where a viewer stopped, as it says: the header's value, else the parameter's, else "".

    Raises:
        BadParameterError: the parameter is given twice.
    """
    text = request.headers.get("Last-Event-ID") or LAST_EVENT_ID.read(request) or ""
    return text[:MAX_CURSOR_CHARS]
