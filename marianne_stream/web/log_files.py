"""A job's log as a file: what it is, as a text to keep, and raw.

It must not know where a log lies, or how lines are counted.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.typedefs import LooseHeaders

from marianne_stream.errors import LogTooLargeError
from marianne_stream.logs.opened import OpenLog
from marianne_stream.logs.parts import LogSummary, SelectedText, WholeText, summary_of
from marianne_stream.models import iso_time
from marianne_stream.payloads import LogInfo
from marianne_stream.web.answers import NO_STORE, json_answer
from marianne_stream.web.keys import DOWNLOAD_LIMIT_BYTES, DOWNLOADS, JOB_LOGS
from marianne_stream.web.log_stream import source_of
from marianne_stream.web.params import job_id_of

# A file may be kept by a browser, and must be asked for again each time (RFC 9111).
RAW_HEADERS = {"Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}

MIB = 1024 * 1024


async def info(request: web.Request) -> web.Response:
    """`GET /api/jobs/{job_id}/logs/info`: what the log is, and where a stream would go on."""
    job_id, log, summary = await summarized(request)
    return json_answer(
        LogInfo(
            job_id=job_id,
            source="conductor" if log.place.of_conductor else "job",
            log_file=log.place.shown,
            size_bytes=summary.size_bytes,
            lines=summary.end.number,
            last_modified=iso_time(summary.modified_s),
            cursor=summary.cursor,
        )
    )


async def static(request: web.Request) -> web.StreamResponse:
    """`GET /api/jobs/{job_id}/logs/static`: the log as an attachment, headed by what it is."""
    with request.app[DOWNLOADS].one(request):
        job_id, log, summary = await summarized(request)
        limit = request.app[DOWNLOAD_LIMIT_BYTES]
        if summary.size_bytes > limit:
            raise LogTooLargeError(
                detail=f"Log file too large for download: {summary.size_bytes / MIB:.1f} MB "
                f"(limit {limit / MIB:g} MB). Use the streaming endpoint instead."
            )
        head = header(job_id, log, summary).encode("utf-8", "replace")
        return await sent(request, log, summary, {**NO_STORE, **attachment(job_id)}, head=head)


async def raw(request: web.Request) -> web.StreamResponse:
    """`GET /api/jobs/{job_id}/logs/raw`: the file itself; of the conductor's, the job's lines."""
    with request.app[DOWNLOADS].one(request):
        _, log = await opened(request)
        if log.place.of_conductor:
            headers = {**RAW_HEADERS, "Accept-Ranges": "none"}
            return await sent(request, log, await summary_of(log), headers)
        file = await log.newest()
        # By its descriptor: the name may lead to another file by now. It is kept open meanwhile.
        response = OpenFileResponse(file.descriptor.path, headers=RAW_HEADERS)
        response.file = file
        await response.prepare(request)
        return response


async def sent(
    request: web.Request,
    log: OpenLog,
    summary: LogSummary,
    headers: Mapping[str, str],
    *,
    head: bytes = b"",
) -> web.StreamResponse:
    """The text of a log, sent: what heads it first."""
    answer = web.StreamResponse(headers=headers)
    answer.content_type, answer.charset = "text/plain", "utf-8"
    answer.content_length = len(head) + summary.size_bytes
    await answer.prepare(request)
    if request.method != "HEAD":
        await answer.write(head)
        await send(request, answer, log, summary)
    await answer.write_eof()
    return answer


class OpenFileResponse(web.FileResponse):
    """Holds on to the file that it sends; sends it once, however often it is prepared."""

    def __init__(self, path: str, *, headers: LooseHeaders) -> None:
        super().__init__(path, headers=headers)
        self.file: object = None
        self.content_type, self.charset = "text/plain", "utf-8"

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Sends the file."""
        if self.prepared:
            return await web.StreamResponse.prepare(self, request)
        return await super().prepare(request)


async def opened(request: web.Request) -> tuple[str, OpenLog]:
    """The log that a request is for."""
    job_id, source = job_id_of(request), source_of(request)
    job_logs = request.app[JOB_LOGS]
    folders = await job_logs.folders(job_id)
    return job_id, await job_logs.find(job_id, folders, source)


async def summarized(request: web.Request) -> tuple[str, OpenLog, LogSummary]:
    """The log that a request is for, and what it is at this moment."""
    job_id, log = await opened(request)
    return job_id, log, await summary_of(log)


async def send(
    request: web.Request, answer: web.StreamResponse, log: OpenLog, summary: LogSummary
) -> None:
    """Sends the text of a log, as far as it went when it was summarized, a block at a time."""
    text: SelectedText | WholeText
    if log.selection is not None:
        text = SelectedText(log.selection, summary.end)
    else:
        text = WholeText(summary)
    left = summary.size_bytes
    while block := await log.threads.read(text.next):
        left -= len(block)
        await answer.write(block)
    if left and request.transport is not None:
        # The file was cut meanwhile: an end before what was promised is how a client is told.
        request.transport.close()


def header(job_id: str, log: OpenLog, summary: LogSummary) -> str:
    """The five lines that head a text, and an empty one."""
    generated = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return (
        f"# Marianne Job Logs - Job ID: {job_id.translate(ONE_LINE)}\n"
        f"# Generated: {generated}\n"
        f"# File: {log.place.shown.translate(ONE_LINE)}\n"
        f"# Size: {size_text(summary.size_bytes)}, {summary.lines} lines\n"
        f"# {'=' * 60}\n\n"
    )


# A job id may hold line ends, which would end the line that it stands on.
ONE_LINE = {ord("\r"): " ", ord("\n"): " "}


def size_text(size_bytes: int) -> str:
    """A size for a person to read, 1 KB being 1024 bytes."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    size = float(size_bytes)
    for unit in ("KB", "MB", "GB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TB"


def attachment(job_id: str) -> dict[str, str]:
    """The header that lets a browser keep the text under the job's name (RFC 6266)."""
    name = f"marianne-{job_id}-logs.txt"
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in name)
    value = f"attachment; filename={safe}"
    if safe != name:
        value += f"; filename*=UTF-8''{quote(name, safe='')}"
    return {"Content-Disposition": value}
