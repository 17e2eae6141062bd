"""Handlers for a log as a file: information, text with a header, and the raw file."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from urllib.parse import quote

from aiohttp import web

from marianne_stream.errors import LogTooLargeError, MarianneStreamError
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.snapshot import (
    BlockReader,
    FileBlockReader,
    FilteredBlockReader,
    LogSummary,
    summarize_log,
)
from marianne_stream.models import format_iso_time
from marianne_stream.schemas.log_schemas import LogInfo
from marianne_stream.web.app_keys import DOWNLOAD_LIMITER, LOG_LOCATOR, MAX_DOWNLOAD_BYTES
from marianne_stream.web.conditional_requests import (
    FileVersion,
    evaluate_preconditions,
    parse_range,
)
from marianne_stream.web.log_stream_handlers import read_log_source
from marianne_stream.web.params import read_job_id
from marianne_stream.web.responses import NO_STORE, error_response, json_response

logger = logging.getLogger(__name__)

# Browsers may keep the file, and revalidate on each use (RFC 9111).
RAW_HEADERS = {"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}

MIB = 1024 * 1024


async def get_log_info(request: web.Request) -> web.Response:
    """`GET /api/jobs/{job_id}/logs/info`: size of the log, and the cursor of its end."""
    job_id, log, summary = await open_and_summarize(request)
    return json_response(
        LogInfo(
            job_id=job_id,
            source="conductor" if log.path.is_conductor_log else "job",
            log_file=log.path.display_path,
            size_bytes=summary.size_bytes,
            lines=summary.end.number,
            last_modified=format_iso_time(summary.modified_s),
            cursor=summary.cursor,
        )
    )


async def download_log_text(request: web.Request) -> web.StreamResponse:
    """`GET /api/jobs/{job_id}/logs/static`: the log as an attachment, with a header."""
    with request.app[DOWNLOAD_LIMITER].slot(request):
        job_id, log, summary = await open_and_summarize(request)
        limit = request.app[MAX_DOWNLOAD_BYTES]
        if summary.size_bytes > limit:
            raise LogTooLargeError(
                detail=f"Log file too large for download: {summary.size_bytes / MIB:.1f} MB "
                f"(limit {limit / MIB:g} MB). Use the streaming endpoint instead."
            )
        head = format_text_header(job_id, log, summary).encode("utf-8", "replace")
        response = make_text_response({**NO_STORE, **content_disposition_header(job_id)})
        return await send_log(request, response, log, make_log_text(log, summary), head=head)


async def download_log_file(request: web.Request) -> web.StreamResponse:
    """`GET /api/jobs/{job_id}/logs/raw`: the file; of the conductor's log, the job's lines."""
    with request.app[DOWNLOAD_LIMITER].slot(request):
        _, log = await open_log(request)
        if log.path.is_conductor_log:
            response = make_text_response({**RAW_HEADERS, "Accept-Ranges": "none"})
            return await send_log(
                request, response, log, make_log_text(log, await summarize_log(log))
            )
        return await send_log_file(request, log)


async def send_log_file(request: web.Request, log: LogHandle) -> web.StreamResponse:
    """Send the file, or the requested range of it, unless the client has this version."""
    file = await log.open_current()
    status = await log.threads.read(file.stat)
    version = FileVersion(status.st_size, status.st_mtime_ns)
    headers = {
        **RAW_HEADERS,
        "Accept-Ranges": "bytes",
        "ETag": f'"{version.etag}"',
        "Last-Modified": format_datetime(version.last_modified, usegmt=True),
    }
    refused = evaluate_preconditions(request, version)
    if refused is HTTPStatus.NOT_MODIFIED:
        return web.Response(status=refused, headers=headers)
    if refused is not None:
        return error_response(request, status=refused, detail="The log has changed since.")
    part = parse_range(request, version)
    if part is None:
        text = FileBlockReader(file, 0, version.size_bytes)
        return await send_log(request, make_text_response(headers), log, text)
    shown = f"{part.start}-{part.stop - 1}" if part else "*"
    headers["Content-Range"] = f"bytes {shown}/{version.size_bytes}"
    if not part:
        return error_response(
            request,
            status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            detail=f"The log holds {version.size_bytes} bytes: none of them are in that range.",
            headers={"Content-Range": headers["Content-Range"]},
        )
    text = FileBlockReader(file, part.start, part.stop)
    return await send_log(request, make_text_response(headers, status=206), log, text)


def make_text_response(headers: Mapping[str, str], *, status: int = 200) -> web.StreamResponse:
    """Return a response for text that has not been prepared."""
    response = web.StreamResponse(status=status, headers=headers)
    response.content_type, response.charset = "text/plain", "utf-8"
    return response


async def send_log(
    request: web.Request,
    response: web.StreamResponse,
    log: LogHandle,
    text: BlockReader,
    *,
    head: bytes = b"",
) -> web.StreamResponse:
    """Send a header and the text of a log, with a response that is not prepared."""
    response.content_length = len(head) + text.size_bytes
    await response.prepare(request)
    if request.method != "HEAD":
        await response.write(head)
        if not await write_text(response, log, text):
            # The client detects a truncated response by the end of the connection (RFC 9112 section
            # 8). On an open connection, it would read the next response as the rest of this one.
            request.protocol.force_close()
            return response
    await response.write_eof()
    return response


async def write_text(response: web.StreamResponse, log: LogHandle, text: BlockReader) -> bool:
    """Send a text block by block; return False if it ends early or cannot be read."""
    left = text.size_bytes
    try:
        while left and (block := await log.threads.read(text.read_block)):
            left -= len(block)
            await response.write(block)
    except MarianneStreamError as error:
        logger.info("download truncated error=%s", error)
    return not left


async def open_log(request: web.Request) -> tuple[str, LogHandle]:
    """Return the job id and the log of a request."""
    job_id, source = read_job_id(request), read_log_source(request)
    locator = request.app[LOG_LOCATOR]
    dirs = await locator.find_dirs(job_id)
    return job_id, await locator.find_log(job_id, dirs, source)


async def open_and_summarize(request: web.Request) -> tuple[str, LogHandle, LogSummary]:
    """Return the job id, the log of a request, and its current size."""
    job_id, log = await open_log(request)
    return job_id, log, await summarize_log(log)


def make_log_text(log: LogHandle, summary: LogSummary) -> BlockReader:
    """Return the text of a log up to the end that the summary found."""
    if log.job_filter is not None:
        return FilteredBlockReader(log.job_filter, summary.end, summary.size_bytes)
    return FileBlockReader(summary.end.file, 0, summary.file_bytes)


def format_text_header(job_id: str, log: LogHandle, summary: LogSummary) -> str:
    """Return the five header lines of a text, and an empty one."""
    generated = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return (
        f"# Marianne Job Logs - Job ID: {job_id.translate(LINE_BREAKS_TO_SPACES)}\n"
        f"# Generated: {generated}\n"
        f"# File: {log.path.display_path.translate(LINE_BREAKS_TO_SPACES)}\n"
        f"# Size: {format_size(summary.size_bytes)}, {summary.line_count} lines\n"
        f"# {'=' * 60}\n\n"
    )


# A job id may contain line breaks, which would break the header.
LINE_BREAKS_TO_SPACES = {ord("\r"): " ", ord("\n"): " "}


def format_size(size_bytes: int) -> str:
    """Format a size for people; 1 KB is 1024 bytes."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    size = float(size_bytes)
    for unit in ("KB", "MB", "GB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TB"


def content_disposition_header(job_id: str) -> dict[str, str]:
    """Return the header that names the file after the job (RFC 6266)."""
    name = f"marianne-{job_id}-logs.txt"
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)
    value = f"attachment; filename={safe}"
    if safe != name:
        value += f"; filename*=UTF-8''{quote(name, safe='')}"
    return {"Content-Disposition": value}
