"""Conditional and range requests for a file (RFC 9110 sections 13 and 14)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from aiohttp import ETag, web

RANGE_RE = re.compile(r"bytes=([0-9]*)-([0-9]*)", re.IGNORECASE)

# The end of the year 9999: a file may have any time.
MAX_TIME_S = 253_402_300_799

# More digits are beyond the size of any file, and slow to parse.
MAX_RANGE_CHARS = 64


@dataclass(frozen=True, slots=True)
class FileVersion:
    """Version of a file: its size, and the time of its last write in nanoseconds of the epoch."""

    size_bytes: int
    modified_ns: int

    @property
    def etag(self) -> str:
        """The entity tag, without its quotes."""
        return f"{self.modified_ns:x}-{self.size_bytes:x}"

    @property
    def last_modified(self) -> datetime:
        """The time of the last write, in whole seconds, as in `Last-Modified`."""
        return datetime.fromtimestamp(min(self.modified_ns // 10**9, MAX_TIME_S), UTC)


def evaluate_preconditions(request: web.Request, version: FileVersion) -> HTTPStatus | None:
    """Return 412 or 304 if a condition of the request asks for it, or None to send the file.

    The order is that of RFC 9110 section 13.2.2.
    """
    if request.if_match is not None:
        if not etag_matches(request.if_match, version, weak=False):
            return HTTPStatus.PRECONDITION_FAILED
    elif request.if_unmodified_since and version.last_modified > request.if_unmodified_since:
        return HTTPStatus.PRECONDITION_FAILED
    if request.if_none_match is not None:
        if etag_matches(request.if_none_match, version, weak=True):
            return HTTPStatus.NOT_MODIFIED
    elif request.if_modified_since and version.last_modified <= request.if_modified_since:
        return HTTPStatus.NOT_MODIFIED
    return None


def etag_matches(etags: tuple[ETag, ...], version: FileVersion, *, weak: bool) -> bool:
    """Compare entity tags, weakly or strongly (RFC 9110 section 8.8.3.2)."""
    return any(
        etag.value == "*" or (etag.value == version.etag and (weak or not etag.is_weak))
        for etag in etags
    )


def parse_range(request: web.Request, version: FileVersion) -> range | None:
    """Return the requested range of bytes, or None for the whole file.

    A Range that is invalid, of another unit or of several parts is ignored, as RFC 9110 section
    14.2 allows, and so is one whose If-Range names another version. An empty range cannot be
    satisfied.
    """
    text = request.headers.get("Range", "")
    match = RANGE_RE.fullmatch(text) if len(text) <= MAX_RANGE_CHARS else None
    if match is None or request.method != "GET" or not if_range_matches(request, version):
        return None
    first, last = match.groups()
    size = version.size_bytes
    if first:
        if last and int(last) < int(first):
            return None
        return range(int(first), min(size, int(last) + 1) if last else size)
    return range(size - min(size, int(last)), size) if last else None


def if_range_matches(request: web.Request, version: FileVersion) -> bool:
    """Return whether If-Range, an entity tag or a date, is exactly the file's (RFC 9110 13.1.5)."""
    text = request.headers.get("If-Range")
    if text is None:
        return True
    if text.startswith(('"', "W/")):
        return text == f'"{version.etag}"'
    return request.if_range == version.last_modified
