"""Handlers for a log as a file: information, text with a header, and the raw file."""

import logging
from datetime import UTC, datetime

from aiohttp import web

from marianne_stream.errors import LogTooLargeError
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
from marianne_stream.web.file_response import (
    REVALIDATE,
    content_disposition,
    make_response,
    send_file,
    send_text,
)
from marianne_stream.web.log_stream_handlers import read_log_source
from marianne_stream.web.params import read_job_id
from marianne_stream.web.responses import NO_STORE, json_response

logger = logging.getLogger(__name__)

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
        response = make_response({**NO_STORE, **content_disposition(f"marianne-{job_id}-logs.txt")})
        return await send_text(
            request, response, log.threads, make_log_text(log, summary), head=head
        )


async def download_log_file(request: web.Request) -> web.StreamResponse:
    """`GET /api/jobs/{job_id}/logs/raw`: the file; of the conductor's log, the job's lines."""
    with request.app[DOWNLOAD_LIMITER].slot(request):
        _, log = await open_log(request)
        if log.path.is_conductor_log:
            response = make_response({**REVALIDATE, "Accept-Ranges": "none"})
            text = make_log_text(log, await summarize_log(log))
            return await send_text(request, response, log.threads, text)
        return await send_file(request, await log.open_current(), log.threads)


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
