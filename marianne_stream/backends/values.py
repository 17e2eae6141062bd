"""Values of a checkpoint whose types other releases of the conductor may choose differently.

A value of an unexpected type, or out of range, counts as missing: a job must not be lost for it.
"""

from dataclasses import dataclass

import msgspec

# Characters of an error that are sent with each state; the rest is part of the sheet's details.
MAX_ERROR_CHARS = 300

# Characters of the error of a job, and of each text in the details of a sheet: the conductor keeps
# up to 50 KB of an output.
MAX_TEXT_CHARS = 64 * 1024

# Largest count that JSON, JavaScript and SQLite can hold exactly.
MAX_COUNT = 2**53


class SkippedArray(msgspec.Struct, array_like=True, frozen=True):
    """An array that stands where another value is expected; its items are not decoded."""


@dataclass(frozen=True, slots=True)
class SkippedObject:
    """An object that stands where another value is expected; its fields are not decoded."""


Scalar = str | int | float | bool | None
AnyValue = Scalar | SkippedArray | SkippedObject


def text_or_none(value: AnyValue) -> str | None:
    """Return a text of at most MAX_ERROR_CHARS; None for other values."""
    return value[:MAX_ERROR_CHARS] if isinstance(value, str) else None


def message_or_none(value: object) -> str | None:
    """Return the error of a job, at most MAX_TEXT_CHARS; None for other values."""
    return value[:MAX_TEXT_CHARS] if isinstance(value, str) else None


def number_or_none(value: AnyValue) -> float | None:
    """Return a number up to MAX_COUNT; None if it is absent, or 0, which the conductor writes."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 < value <= MAX_COUNT else None


def count_or_none(value: object) -> int | None:
    """Return a count from 0 to MAX_COUNT; None for other values."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MAX_COUNT else None
