"""Text of log lines as a person reads it: escape sequences removed, JSON escapes decoded.

Newlines are kept, so the n-th line of the result is the n-th line of the input.
"""

import re
from collections.abc import Iterator

# ECMA-48: a control sequence; a control string up to BEL or ST, or else to the end of the line; and
# other escapes of two or three characters.
ESCAPE_SEQUENCE = (
    rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\|$)?|\x1b[ -/]*[0-~]"
)
ESCAPE_SEQUENCE_BYTES = re.compile(ESCAPE_SEQUENCE, re.MULTILINE)
ESCAPE_SEQUENCE_TEXT = re.compile(ESCAPE_SEQUENCE.decode(), re.MULTILINE)

# RFC 8259, section 7. Two surrogates are one character.
JSON_ESCAPE = re.compile(
    rb"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})"
    rb'|(["\\/bfnrt]))'
)
# An escaped line end becomes a blank, so that a line stays one line.
SHORT_ESCAPES = {**dict.fromkeys(b"bfnrt", b" "), **{code: bytes([code]) for code in b'"\\/'}}

UTF8_BOM = b"\xef\xbb\xbf"

# Size of a piece: 64 KiB of escape sequences take 14 ms.
PIECE_BYTES = 64 * 1024


def strip_ansi(text: bytes) -> bytes:
    """Remove escape sequences from lines."""
    if b"\x1b" not in text:
        return text
    return b"".join(ESCAPE_SEQUENCE_BYTES.sub(b"", piece) for piece in split_at_lines(text))


def split_at_lines(text: bytes) -> Iterator[bytes]:
    """Split lines into pieces, since one call on a block would hold the interpreter too long."""
    start = 0
    while start < len(text):
        end = text.find(b"\n", start + PIECE_BYTES) + 1 or len(text)
        yield text[start:end]
        start = end


def strip_ansi_text(text: str) -> str:
    """Remove escape sequences from a line."""
    return ESCAPE_SEQUENCE_TEXT.sub("", text) if "\x1b" in text else text


def decode_json_escapes(text: bytes) -> bytes:
    """Decode JSON escapes in lines; a control character becomes a blank."""
    return JSON_ESCAPE.sub(decode_json_escape, text) if b"\\" in text else text


def decode_json_escape(escape: re.Match[bytes]) -> bytes:
    """Decode one JSON escape; an escape that is not a character stays as it is."""
    high, low, single, short = escape.groups()
    if short:
        return SHORT_ESCAPES[short[0]]
    if high:
        code = 0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF)
    else:
        code = int(single, 16)
    if 0xD800 <= code < 0xE000:
        return escape[0]
    return chr(code).encode() if code >= 0x20 else b" "
