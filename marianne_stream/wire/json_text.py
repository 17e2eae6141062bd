"""JSON as Python writes it, decoded into types by msgspec.

Python's json module writes what JSON does not allow: half of a surrogate pair for a byte that is
not UTF-8, `NaN` and `Infinity`. msgspec rejects them. Since a job must not be lost for one odd byte
in its output, rejected text is repaired and decoded again.
"""

import re
from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import TypeVar

import msgspec

T = TypeVar("T")

# Text is repaired in pieces of at most 5 ms each, so that other threads get their turn.
PIECE_BYTES = 64 * 1024

# Placeholders of an escaped backslash and an escaped quote. With them, each backslash begins an
# escape, and each quote begins or ends a string. JSON text holds no control characters.
ESCAPED_BACKSLASH, ESCAPED_QUOTE = b"\x00", b"\x01"

HIGH_SURROGATE = rb"\\u[dD][89abAB][0-9a-fA-F]{2}"
LOW_SURROGATE = rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
SURROGATE_PAIR = re.compile(HIGH_SURROGATE + LOW_SURROGATE)
SURROGATE_PAIR_BYTES = 12

# Half a pair that stands for a byte and does not follow the other half. Python writes lower-case
# digits; of those only the prefix is matched, since a constant replacement costs a tenth of a call.
LONE_BYTE_PREFIX = rb"\\u[dD][cC](?<!" + HIGH_SURROGATE + rb"\\u[dD][cC])"
LOWERCASE_BYTE_ESCAPE = re.compile(LONE_BYTE_PREFIX + rb"(?=[89a-f][0-9a-f])")
BYTE_ESCAPE = re.compile(LONE_BYTE_PREFIX + rb"([89a-fA-F][0-9a-fA-F])")

# A character that no number has, and neither have NaN and Infinity.
VALUE_END = re.compile(rb"[^-+.0-9A-Za-z]")

# Any half without its other half.
LONE_SURROGATE = re.compile(
    HIGH_SURROGATE
    + rb"(?!"
    + LOW_SURROGATE
    + rb")|"
    + LOW_SURROGATE
    + rb"(?<!"
    + HIGH_SURROGATE
    + LOW_SURROGATE
    + rb")"
)


def decode(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """Decode JSON as a type. Fields that the type does not have are skipped.

    Repairing takes up to a second for 15 MiB, in pieces: above 64 KiB, call it in a thread.

    Raises:
        ValueError: the text is not JSON, has another shape, or is nested too deeply.
    """
    try:
        return decode_strict(data, kind)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        mended = replace_lone_surrogates(bytes(data))
    try:
        return decode_strict(mended, kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        if b"NaN" not in mended and b"Infinity" not in mended:
            raise
    return decode_strict(replace_non_finite(mended), kind)


def decode_strict(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """Decode JSON as a type without repairs. Raises as `decode` does."""
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError as error:
        raise msgspec.DecodeError("JSON is nested too deeply") from error


def replace_lone_surrogates(data: bytes) -> bytes:
    r"""Return JSON with text that UTF-8 can hold.

    Half a surrogate pair that stands for a byte (`\udcff`) becomes the escape of `wire.job_ids`
    (`\xff`). Other halves, and bytes that are not UTF-8, become U+FFFD.
    """
    if b"\\u" in data and not has_placeholders(data):
        pieces = map(replace_lone_escapes, split_at_escapes(insert_placeholders(data)))
        data = b"".join(map(restore_placeholders, pieces))
    if data.isascii():
        return data
    decoder = getincrementaldecoder("utf-8")("replace")
    starts = range(0, len(data), PIECE_BYTES)
    text = [decoder.decode(data[at : at + PIECE_BYTES]).encode() for at in starts]
    return b"".join((*text, decoder.decode(b"", final=True).encode()))


def has_placeholders(data: bytes) -> bool:
    """Return whether a text holds the control characters that serve as placeholders."""
    return ESCAPED_BACKSLASH in data or ESCAPED_QUOTE in data


def insert_placeholders(data: bytes) -> bytes:
    """Replace escaped backslashes and quotes by placeholders."""
    pieces: list[bytes] = []
    start = 0
    while start < len(data):
        piece = data[start : start + PIECE_BYTES]
        if start + len(piece) < len(data) and (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            # The last backslash begins an escape that goes on in the next piece.
            piece = piece[:-1]
        pieces.append(piece.replace(b"\\\\", ESCAPED_BACKSLASH).replace(b'\\"', ESCAPED_QUOTE))
        start += len(piece)
    return b"".join(pieces)


def restore_placeholders(piece: bytes) -> bytes:
    """Replace placeholders by what they stand for."""
    return piece.replace(ESCAPED_QUOTE, b'\\"').replace(ESCAPED_BACKSLASH, b"\\\\")


def split_at_escapes(data: bytes) -> Iterator[bytes]:
    """Yield pieces of a text, none of which ends within an escape or a surrogate pair."""
    start = 0
    while start < len(data):
        end = start + PIECE_BYTES
        if b"\\" in data[end - SURROGATE_PAIR_BYTES : end]:
            escape = data.find(b"\\", end, end + 2 * SURROGATE_PAIR_BYTES)
            if escape < 0:
                end += SURROGATE_PAIR_BYTES
            else:
                end = escape + 6 if SURROGATE_PAIR.match(data, escape - 6) else escape
        yield data[start:end]
        start = end


def replace_lone_escapes(piece: bytes) -> bytes:
    """Replace all halves of surrogate pairs in a piece."""
    piece = LOWERCASE_BYTE_ESCAPE.sub(ESCAPED_BACKSLASH + b"x", piece)
    piece = BYTE_ESCAPE.sub(lambda found: ESCAPED_BACKSLASH + b"x" + found[1].lower(), piece)
    return LONE_SURROGATE.sub(rb"\\ufffd", piece)


def replace_non_finite(data: bytes) -> bytes:
    """Replace numbers that JSON does not have by null."""
    if has_placeholders(data):
        return data
    pieces: list[bytes] = []
    in_string = False
    for piece in split_between_values(insert_placeholders(data)):
        pieces.append(restore_placeholders(replace_non_finite_in_piece(piece, in_string=in_string)))
        in_string ^= bool(piece.count(b'"') % 2)
    return b"".join(pieces)


def split_between_values(data: bytes) -> Iterator[bytes]:
    """Yield pieces of a text that end between values of JSON, or anywhere in a string."""
    start = 0
    while start < len(data):
        found = VALUE_END.search(data, start + PIECE_BYTES)
        end = found.start() if found else len(data)
        yield data[start:end]
        start = end


def replace_non_finite_in_piece(piece: bytes, *, in_string: bool) -> bytes:
    """Replace numbers that JSON does not have by null, outside of strings."""
    if b"NaN" not in piece and b"Infinity" not in piece:
        return piece
    parts = piece.split(b'"')
    outside = b'"'.join(parts[in_string::2])
    for number in (b"NaN", b"-Infinity", b"Infinity"):
        outside = outside.replace(number, b"null")
    if len(parts) > in_string:
        parts[in_string::2] = outside.split(b'"')
    return b'"'.join(parts)
