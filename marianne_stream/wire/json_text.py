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

# An escaped backslash, a whole surrogate pair, or half of one.
ESCAPE = re.compile(rb"\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u[dD]([89a-fA-F])(..)")

# A string, which is left as it is, or one of the numbers that JSON does not have.
STRING_OR_NUMBER = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?Infinity|NaN', re.DOTALL)


def decode(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """JSON as a type; fields that the type does not name are skipped.

    Raises:
        ValueError: it is not JSON, has another shape, or is nested too deeply to be read.
    """
    try:
        return strictly(data, kind)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        mended = with_whole_text(bytes(data))
    try:
        return strictly(mended, kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        if b"NaN" not in mended and b"Infinity" not in mended:
            raise
    return strictly(with_numbers(mended), kind)


def strictly(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """JSON as a type, with nothing mended; raises as `decode` does."""
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError as error:
        raise msgspec.DecodeError("it is nested too deeply to be read") from error


def with_whole_text(data: bytes) -> bytes:
    r"""What Python wrote as JSON, with text that UTF-8 can hold.

    Half a surrogate pair that stands for a byte (`\udcff`) becomes the written form of
    `wire.job_ids` (`\xff`); other halves, and bytes that are not UTF-8, become U+FFFD. Only
    backslashes are looked at, so 8 MB take some milliseconds.
    """
    data = ESCAPE.sub(mended_escape, data)
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace").encode()
    return data


def mended_escape(match: re.Match[bytes]) -> bytes:
    """An escape that JSON may hold."""
    if match[1] is None:
        return match[0]
    high, low = match[1].lower(), match[2].lower()
    return b"\\\\x" + low if high == b"c" and low >= b"80" else b"\\ufffd"


def with_numbers(data: bytes) -> bytes:
    """JSON with null in the place of the numbers that JSON does not have."""
    return STRING_OR_NUMBER.sub(lambda m: m[0] if m[0].startswith(b'"') else b"null", data)
