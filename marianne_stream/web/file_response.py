"""Responses with a file or a text: conditions, ranges, and a truncation that clients detect."""

import logging
from collections.abc import Mapping
from email.utils import format_datetime
from http import HTTPStatus
from urllib.parse import quote

from aiohttp import web

from marianne_stream.errors import MarianneStreamError
from marianne_stream.logs.log_file import LogFile
from marianne_stream.logs.log_threads import JobThreads
from marianne_stream.logs.snapshot import BlockReader, FileBlockReader
from marianne_stream.web.conditional_requests import (
    FileVersion,
    evaluate_preconditions,
    parse_range,
)
from marianne_stream.web.responses import error_response

logger = logging.getLogger(__name__)

# Browsers may keep a file, and revalidate on each use (RFC 9111).
REVALIDATE = {"Cache-Control": "private, no-cache"}


async def send_file(
    request: web.Request,
    file: LogFile,
    threads: JobThreads,
    *,
    content_type: str = "text/plain",
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Send a file, or the requested range of it, unless the client has this version."""
    status = await threads.read(file.stat)
    version = FileVersion(status.st_size, status.st_mtime_ns)
    headers = {
        **REVALIDATE,
        **(headers or {}),
        "Accept-Ranges": "bytes",
        "ETag": f'"{version.etag}"',
        "Last-Modified": format_datetime(version.last_modified, usegmt=True),
    }
    refused = evaluate_preconditions(request, version)
    if refused is HTTPStatus.NOT_MODIFIED:
        return web.Response(status=refused, headers=headers)
    if refused is not None:
        return error_response(request, status=refused, detail="The file has changed since.")
    part = parse_range(request, version)
    if part is None:
        response = make_response(headers, content_type=content_type)
        text = FileBlockReader(file, 0, version.size_bytes)
        return await send_text(request, response, threads, text)
    shown = f"{part.start}-{part.stop - 1}" if part else "*"
    headers["Content-Range"] = f"bytes {shown}/{version.size_bytes}"
    if not part:
        return error_response(
            request,
            status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            detail=f"The file holds {version.size_bytes} bytes: none of them are in that range.",
            headers={"Content-Range": headers["Content-Range"]},
        )
    response = make_response(headers, status=206, content_type=content_type)
    return await send_text(request, response, threads, FileBlockReader(file, part.start, part.stop))


def make_response(
    headers: Mapping[str, str], *, status: int = 200, content_type: str = "text/plain"
) -> web.StreamResponse:
    """Return a response that has not been prepared; text is in UTF-8."""
    response = web.StreamResponse(status=status, headers=headers)
    response.content_type = content_type
    if content_type.startswith("text/"):
        response.charset = "utf-8"
    return response


async def send_text(
    request: web.Request,
    response: web.StreamResponse,
    threads: JobThreads,
    text: BlockReader,
    *,
    head: bytes = b"",
) -> web.StreamResponse:
    """Send a header and a text, with a response that is not prepared."""
    response.content_length = len(head) + text.size_bytes
    await response.prepare(request)
    if request.method != "HEAD":
        await response.write(head)
        if not await write_text(response, threads, text):
            # The client detects a truncated response by the end of the connection (RFC 9112 section
            # 8). On an open connection, it would read the next response as the rest of this one.
            request.protocol.force_close()
            return response
    await response.write_eof()
    return response


async def write_text(response: web.StreamResponse, threads: JobThreads, text: BlockReader) -> bool:
    """Send a text block by block; return False if it ends early or cannot be read."""
    left = text.size_bytes
    try:
        while left and (block := await threads.read(text.read_block)):
            left -= len(block)
            await response.write(block)
    except (MarianneStreamError, OSError) as error:
        if isinstance(error, ConnectionError):
            raise
        logger.info("download truncated error=%s", error)
    return not left


def content_disposition(name: str, *, inline: bool = False) -> dict[str, str]:
    """Return the header that names a file (RFC 6266).

    Args:
        name: its name; lone surrogates stand for bytes that are not UTF-8.
        inline: whether a browser may show it; otherwise, it stores the file.
    """
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)
    value = f"{'inline' if inline else 'attachment'}; filename={safe}"
    if safe != name:
        value += f"; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}"
    return {"Content-Disposition": value}
