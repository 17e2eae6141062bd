"""Values of a checkpoint whose types other releases of the conductor may choose differently.

A value of an unexpected type, or out of range, counts as missing: a job must not be lost for it.
"""

from dataclasses import dataclass
from typing import TypeVar

import msgspec

from marianne_stream.value_limits import (
    MAX_COUNT,
    MAX_DURATION_S,
    MAX_ERROR_CHARS,
    MAX_LABEL_CHARS,
    MAX_NAME_CHARS,
)

# Characters of the error of a job, and of each text in the details of a sheet: the conductor keeps
# up to 50 KB of an output.
MAX_TEXT_CHARS = 64 * 1024


class SkippedArray(msgspec.Struct, array_like=True, frozen=True):
    """An array that stands where another value is expected; its items are not decoded."""


@dataclass(frozen=True, slots=True)
class SkippedObject:
    """An object that stands where another value is expected; its fields are not decoded."""


Scalar = str | int | float | bool | None
AnyValue = Scalar | SkippedArray | SkippedObject

T = TypeVar("T")


def cut_label(text: str) -> str:
    """Return a status, at most MAX_LABEL_CHARS."""
    return text[:MAX_LABEL_CHARS]


def cut_name(value: T) -> T | str:
    """Return a name or a time as text, at most MAX_NAME_CHARS; other values unchanged."""
    return value[:MAX_NAME_CHARS] if isinstance(value, str) else value


def text_or_none(value: AnyValue) -> str | None:
    """Return a text of at most MAX_ERROR_CHARS; None for other values."""
    return value[:MAX_ERROR_CHARS] if isinstance(value, str) else None


def message_or_none(value: object) -> str | None:
    """Return the error of a job, at most MAX_TEXT_CHARS; None for other values."""
    return value[:MAX_TEXT_CHARS] if isinstance(value, str) else None


def number_or_none(value: AnyValue) -> float | None:
    """Return a number up to MAX_COUNT; None if it is absent, or 0, which the conductor writes.

    It is rounded to 6 decimals: the conductor adds up costs, which gives 0.045000000000000005.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 < value <= MAX_COUNT:
        return None
    return value if isinstance(value, int) else round(value, 6) or None


def duration_or_none(value: AnyValue) -> float | None:
    """Return a duration in seconds up to MAX_DURATION_S; None for 0 and for other values."""
    number = number_or_none(value)
    return number if number is not None and number <= MAX_DURATION_S else None


def count_or_none(value: object) -> int | None:
    """Return a count from 0 to MAX_COUNT; None for other values."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MAX_COUNT else None
