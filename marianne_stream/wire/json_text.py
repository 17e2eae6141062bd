"""JSON as Python writes it, read into types by msgspec.

Python's json module writes what JSON does not have: half of a surrogate pair for a byte that is not
UTF-8, `NaN` and `Infinity`. msgspec refuses them, wherever they stand, and rightly; but a job
should not be lost for one odd byte in its output. What is refused is repaired, and read again.
Pure: it must not know what the types mean.
"""

import re
from typing import TypeVar

import msgspec

T = TypeVar("T")

# A string, or one of the numbers that JSON does not have.
STRING_OR_NUMBER = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?Infinity|NaN', re.DOTALL)

# An escaped backslash, a whole surrogate pair, or half of one.
ESCAPE = re.compile(rb"\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u[dD]([89a-fA-F])(..)")


def decode(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """JSON as a type; fields that the type does not name are skipped.

    Raises:
        ValueError: it is not JSON, or has another shape.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(repair(bytes(data)), type=kind)


def repair(data: bytes) -> bytes:
    r"""What Python wrote as JSON, as JSON that UTF-8 can hold.

    Half a surrogate pair that stands for a byte (`\udcff`) becomes the written form of
    `wire.job_ids` (`\xff`); other halves, and bytes that are not UTF-8, become U+FFFD; numbers that
    JSON does not have become null.
    """
    return STRING_OR_NUMBER.sub(repaired, data).decode("utf-8", "replace").encode()


def repaired(match: re.Match[bytes]) -> bytes:
    """A string with its escapes mended, or null for a number that is none."""
    text = match[0]
    return ESCAPE.sub(mended, text) if text.startswith(b'"') else b"null"


def mended(match: re.Match[bytes]) -> bytes:
    """An escape that JSON may hold."""
    if match[1] is None:
        return match[0]
    high, low = match[1].lower(), match[2].lower()
    return b"\\\\x" + low if high == b"c" and low >= b"80" else b"\\ufffd"
