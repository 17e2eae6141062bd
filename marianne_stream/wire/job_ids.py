r"""Escaping of job ids that are not UTF-8.

A job id is the stem of a file name, and a file name is bytes. The conductor sends a byte that is
not valid UTF-8 as a lone surrogate (`\udcff` for the byte FF), which UTF-8 cannot hold. It is
escaped as a backslash, an x and two lower-case hexadecimal digits: `\xff`. A URL may also hold the
byte itself (`%FF`).
"""

import re
from urllib.parse import unquote_to_bytes

ESCAPED_BYTE = re.compile(r"\\x([89a-f][0-9a-f])")


def escape(job_id: str) -> str:
    """Return a job id with every byte that is not UTF-8 escaped."""
    data = job_id.encode("utf-8", "surrogateescape")
    return data.decode("utf-8", "backslashreplace")


def unescape(job_id: str) -> str:
    """Return a job id as the conductor knows it, with lone surrogates for escaped bytes."""
    return ESCAPED_BYTE.sub(lambda match: chr(0xDC00 + int(match[1], 16)), job_id)


def from_path_segment(segment: str) -> str:
    """Return the job id of a percent-encoded segment of a URL's path.

    Raises:
        ValueError: the segment is empty, or holds a slash or a NUL, which no file name can.
    """
    data = unquote_to_bytes(segment)
    if not data or b"/" in data or b"\0" in data:
        raise ValueError("a job id must hold at least one character, and neither / nor NUL")
    return data.decode("utf-8", "backslashreplace")
