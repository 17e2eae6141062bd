"""JSON as Python writes it, read into types by msgspec.

Python's json module writes what JSON does not have: half of a surrogate pair for a byte that is not
UTF-8, `NaN` and `Infinity`. msgspec refuses them, wherever they stand, and rightly; but a job
should not be lost for one odd byte in its output. What is refused is repaired, and read again.
Pure: it must not know what the types mean.
"""

import re
from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import TypeVar

import msgspec

T = TypeVar("T")

# The text is mended in pieces, each within 5 ms: in a thread, others get their turn in between.
PIECE_BYTES = 64 * 1024

# Stand for an escaped backslash and an escaped quote while the text is mended, so that each
# backslash begins an escape, and each quote a string or its end. JSON holds no control characters.
ESCAPED_BACKSLASH, ESCAPED_QUOTE = b"\x00", b"\x01"

HIGH_SURROGATE = rb"\\u[dD][89abAB][0-9a-fA-F]{2}"
LOW_SURROGATE = rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
SURROGATE_PAIR = re.compile(HIGH_SURROGATE + LOW_SURROGATE)
SURROGATE_PAIR_BYTES = 12

# Half a pair that stands for a byte, and is not behind another. Python writes digits in lower
# case: of those only what is replaced is matched, since a fixed text costs a tenth of a call.
LONE_BYTE_PREFIX = rb"\\u[dD][cC](?<!" + HIGH_SURROGATE + rb"\\u[dD][cC])"
LOWERCASE_BYTE_ESCAPE = re.compile(LONE_BYTE_PREFIX + rb"(?=[89a-f][0-9a-f])")
BYTE_ESCAPE = re.compile(LONE_BYTE_PREFIX + rb"([89a-fA-F][0-9a-fA-F])")

# What no number of JSON holds, nor one that it does not have.
VALUE_END = re.compile(rb"[^-+.0-9A-Za-z]")

# Any half that is none of a pair.
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
    """JSON as a type; fields that the type does not name are skipped.

    A text that has to be mended takes up to a second for 15 MiB, in pieces: above some 64 KiB it
    belongs in a thread.

    Raises:
        ValueError: it is not JSON, has another shape, or is nested too deeply to be read.
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
    """JSON as a type, with nothing mended; raises as `decode` does."""
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError as error:
        raise msgspec.DecodeError("it is nested too deeply to be read") from error


def replace_lone_surrogates(data: bytes) -> bytes:
    r"""What Python wrote as JSON, with text that UTF-8 can hold.

    Half a surrogate pair that stands for a byte (`\udcff`) becomes the written form of
    `wire.job_ids` (`\xff`); other halves, and bytes that are not UTF-8, become U+FFFD.
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
    """Return whether a text holds control characters, which JSON does not."""
    return ESCAPED_BACKSLASH in data or ESCAPED_QUOTE in data


def insert_placeholders(data: bytes) -> bytes:
    """Return a text with stand-ins for escaped backslashes and quotes."""
    pieces: list[bytes] = []
    start = 0
    while start < len(data):
        piece = data[start : start + PIECE_BYTES]
        if start + len(piece) < len(data) and (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            # The last backslash begins an escape that is not in the piece.
            piece = piece[:-1]
        pieces.append(piece.replace(b"\\\\", ESCAPED_BACKSLASH).replace(b'\\"', ESCAPED_QUOTE))
        start += len(piece)
    return b"".join(pieces)


def restore_placeholders(piece: bytes) -> bytes:
    """Return a piece of a text with what stood in the place of the stand-ins."""
    return piece.replace(ESCAPED_QUOTE, b'\\"').replace(ESCAPED_BACKSLASH, b"\\\\")


def split_at_escapes(data: bytes) -> Iterator[bytes]:
    """Yield a text in pieces, none of which ends within an escape or a pair of them."""
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
    """Return a piece with no half of a surrogate pair."""
    piece = LOWERCASE_BYTE_ESCAPE.sub(ESCAPED_BACKSLASH + b"x", piece)
    piece = BYTE_ESCAPE.sub(lambda found: ESCAPED_BACKSLASH + b"x" + found[1].lower(), piece)
    return LONE_SURROGATE.sub(rb"\\ufffd", piece)


def replace_non_finite(data: bytes) -> bytes:
    """JSON with null in the place of the numbers that JSON does not have."""
    if has_placeholders(data):
        return data
    pieces: list[bytes] = []
    in_string = False
    for piece in split_between_values(insert_placeholders(data)):
        pieces.append(restore_placeholders(replace_non_finite_in_piece(piece, in_string=in_string)))
        in_string ^= bool(piece.count(b'"') % 2)
    return b"".join(pieces)


def split_between_values(data: bytes) -> Iterator[bytes]:
    """Yield a text in pieces that end between values of JSON, or anywhere in a string."""
    start = 0
    while start < len(data):
        found = VALUE_END.search(data, start + PIECE_BYTES)
        end = found.start() if found else len(data)
        yield data[start:end]
        start = end


def replace_non_finite_in_piece(piece: bytes, *, in_string: bool) -> bytes:
    """Return a piece with null in the place of numbers that JSON does not have."""
    if b"NaN" not in piece and b"Infinity" not in piece:
        return piece
    parts = piece.split(b'"')
    outside = b'"'.join(parts[in_string::2])
    for number in (b"NaN", b"-Infinity", b"Infinity"):
        outside = outside.replace(number, b"null")
    if len(parts) > in_string:
        parts[in_string::2] = outside.split(b'"')
    return b'"'.join(parts)
