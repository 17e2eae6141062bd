r"""Job ids that are not UTF-8, in the one form in which they are written.

A job id is the stem of a file name, and a file name is bytes. A byte of it that is not part of
valid UTF-8 reaches us from the conductor as a lone surrogate (`\udcff` for the byte FF), which no
UTF-8 text can hold. It is written as a backslash, an x and two lower-case hexadecimal digits:
`\xff`. In a URL the byte itself may be given as well (`%FF`).
"""

import re
from urllib.parse import unquote_to_bytes

ESCAPED_BYTE = re.compile(r"\\x([89a-f][0-9a-f])")


def escape(job_id: str) -> str:
    """A job id as it is shown: every byte that is not UTF-8 in its written form."""
    data = job_id.encode("utf-8", "surrogateescape")
    return data.decode("utf-8", "backslashreplace")


def unescape(job_id: str) -> str:
    """A job id as the conductor knows it: lone surrogates in the place of written bytes."""
    return ESCAPED_BYTE.sub(lambda match: chr(0xDC00 + int(match[1], 16)), job_id)


def from_path_segment(segment: str) -> str:
    """The job id of a percent-encoded segment of a URL's path.

    Raises:
        ValueError: after decoding it holds a slash or a NUL, which no file name can.
    """
    data = unquote_to_bytes(segment)
    if not data or b"/" in data or b"\0" in data:
        raise ValueError("a job id holds any characters but / and NUL, and at least one")
    return data.decode("utf-8", "backslashreplace")
