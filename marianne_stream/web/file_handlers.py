"""Handlers for the files of a job's workspace: the list, a file, and a text file as a log is."""

import re
from contextlib import nullcontext
from http import HTTPStatus
from urllib.parse import quote

import msgspec
import xxhash
from aiohttp import web

from marianne_stream.errors import (
    BadParameterError,
    FilesDisabledError,
    JobFileForbiddenError,
)
from marianne_stream.files.changed_sheets import find_changed_sheets
from marianne_stream.files.kinds import FileKind, find_kind, find_media_type
from marianne_stream.files.listing import MAX_DEPTH, MAX_ENTRIES, FileList, ListQuery
from marianne_stream.files.markdown import MAX_MARKDOWN_BYTES, render_in_process
from marianne_stream.files.workspaces import WorkspaceFileLocator, Workspaces, parse_path
from marianne_stream.logs.log_file import LogFile
from marianne_stream.logs.log_handle import LogHandle
from marianne_stream.logs.safe_open import open_log_file
from marianne_stream.models import JobState, format_iso_time
from marianne_stream.web.app_keys import DOWNLOAD_LIMITER, JOB_HUB, WORKSPACES
from marianne_stream.web.auth_middleware import GRANT
from marianne_stream.web.conditional_requests import FileVersion, evaluate_preconditions
from marianne_stream.web.file_response import REVALIDATE, content_disposition, send_file
from marianne_stream.web.log_page_handlers import send_log_page
from marianne_stream.web.log_stream_handlers import open_log_stream
from marianne_stream.web.params import (
    ChoiceParameter,
    FlagParameter,
    NumberParameter,
    TextParameter,
    read_job_id,
    repr_truncated,
)
from marianne_stream.wire import job_ids

SORT = ChoiceParameter(
    "sort",
    "Order: the last change first, or by name, folder by folder.",
    ("change", "name"),
    default="change",
)
DEPTH = NumberParameter(
    "depth", "Number of levels; 1 for the workspace's own files.", 8, 1, MAX_DEPTH, is_integer=True
)
GLOB = TextParameter(
    "glob",
    "Only files whose path, or name if the pattern has no slash, matches it: * any characters, ? "
    "one, [abc] one of these.",
    max_chars=200,
)
HIDDEN = FlagParameter("hidden", "Also names that begin with a dot.", default=False)
LIMIT = NumberParameter("limit", "Number of entries.", 1000, 1, MAX_ENTRIES, is_integer=True)

INLINE = FlagParameter("inline", "Let a browser show text and pictures.", default=False)
RENDER = FlagParameter("render", "A Markdown file as a piece of HTML.", default=False)

# Characters that `quote` leaves as they are.
PLAIN_PATH = re.compile(r"[A-Za-z0-9_.~/-]*")

# Whatever a job has written: nothing of it runs, or loads anything, in a browser that shows it.
SANDBOX = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}

# A list of more entries counts as a download while it is made and sent.
MAX_SMALL_LIST = 1000

# Number of the segment of the path behind "/api/jobs/{job_id}/files/".
PATH_SEGMENT_INDEX = 5

NO_RIGHT = "This token may not read files: its line in the token file needs rights=files."


class FileListEntry(msgspec.Struct, gc=False):
    """Entry of a list; `FileListData` says what the fields are.

    Lists are long: to make and to validate the entries with pydantic would hold all other threads.
    """

    path: str
    url_path: str
    kind: FileKind
    size_bytes: int | None
    modified_at: str | None
    sheets: list[int]


async def list_files(request: web.Request) -> web.Response:
    """`GET /api/jobs/{job_id}/files`: the files of the workspace."""
    workspaces, job_id = require_workspaces(request), read_job_id(request)
    query = ListQuery(
        sort="name" if SORT.read(request) == "name" else "change",
        depth=int(DEPTH.read(request)),
        hidden=HIDDEN.read(request),
        limit=int(LIMIT.read(request)),
        glob=GLOB.read(request),
    )
    is_large = query.limit > MAX_SMALL_LIST
    with request.app[DOWNLOAD_LIMITER].slot(request) if is_large else nullcontext():
        found = await workspaces.list_files(job_id, query, request[GRANT].job_scope)
        state = await request.app[JOB_HUB].get_state(job_id)
        threads = workspaces.threads_for(job_id)
        body, etag = await threads.work_on_files(encode_list, job_id, found, state)
        headers = {**REVALIDATE, "ETag": f'"{etag}"'}
        given = request.if_none_match or ()
        if any(each.value in ("*", etag) for each in given):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type="application/json", headers=headers)


def encode_list(job_id: str, found: FileList, state: JobState) -> tuple[bytes, str]:
    """Return a list as JSON, and its entity tag. Blocks."""
    times = [file.modified_ns / 10**9 for file in found.files]
    sheets = find_changed_sheets(times, state.sheets)
    entries = [
        FileListEntry(
            path=job_ids.escape(file.path),
            url_path=quote_path(file.path),
            kind=find_kind(file.path) if file.size_bytes is not None else "folder",
            size_bytes=file.size_bytes,
            modified_at=format_iso_time(time),
            sheets=numbers if file.size_bytes is not None else [],
        )
        for file, time, numbers in zip(found.files, times, sheets, strict=True)
    ]
    data = {"job_id": job_id, "entries": entries, "truncated": found.is_truncated}
    body = msgspec.json.encode(data)
    return body, xxhash.xxh3_64_hexdigest(body)


def quote_path(path: str) -> str:
    """Return a path as it stands in a URL. `quote` is slow, and most paths need none."""
    return path if PLAIN_PATH.fullmatch(path) else quote(path, errors="surrogateescape")


async def get_file(request: web.Request) -> web.StreamResponse:
    """`GET /api/jobs/{job_id}/files/{path}`: a file, or a Markdown file as HTML."""
    with request.app[DOWNLOAD_LIMITER].slot(request):
        locator, job_id = find_locator(request), read_job_id(request)
        is_inline, is_rendered = INLINE.read(request), RENDER.read(request)
        handle = await locator.find_log(job_id, await locator.find_dirs(job_id))
        name = handle.path.name
        if is_rendered:
            return await send_rendered(request, handle)
        file = await handle.threads.read(open_whole, handle)
        inline = is_inline and find_kind(name) != "other"
        return await send_file(
            request,
            file,
            handle.threads,
            content_type=find_media_type(name),
            headers={**SANDBOX, **content_disposition(name, inline=inline)},
        )


async def send_rendered(request: web.Request, handle: LogHandle) -> web.Response:
    """Return a Markdown file as a piece of HTML."""
    name = handle.path.name
    if find_kind(name) != "markdown":
        raise BadParameterError(
            detail=f"render is for names that end in .md or .markdown, got {repr_truncated(name)}"
        )
    file = await handle.threads.read(open_whole, handle)
    status = await handle.threads.read(file.stat)
    version = FileVersion(status.st_size, status.st_mtime_ns)
    headers = {
        **REVALIDATE,
        **SANDBOX,
        **content_disposition(f"{name}.html"),
        "ETag": f'"{version.etag}"',
    }
    if evaluate_preconditions(request, version) is HTTPStatus.NOT_MODIFIED:
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)

    def render() -> bytes:
        return render_in_process(file.read(0, MAX_MARKDOWN_BYTES + 1))

    html = await handle.threads.work_on_files(render)
    return web.Response(body=html, content_type="text/html", charset="utf-8", headers=headers)


def open_whole(handle: LogHandle) -> LogFile:
    """Open a file for its bytes, also if it is compressed. Blocks."""
    return LogFile(open_log_file(handle.path), handle.path.name)


async def stream_file(request: web.Request) -> web.StreamResponse:
    """`GET /api/jobs/{job_id}/file-stream/{path}`: a text file as it is written."""
    locator = find_locator(request)
    return await open_log_stream(request, require_workspaces(request).make_feeds(locator))


async def get_file_page(request: web.Request) -> web.Response:
    """`GET /api/jobs/{job_id}/file-lines/{path}`: a page of a text file, or of its matches."""
    return await send_log_page(request, find_locator(request))


def require_workspaces(request: web.Request) -> Workspaces:
    """Return the workspaces.

    Raises:
        FilesDisabledError: this server serves no files.
        JobFileForbiddenError: the client's token has no right to files.
    """
    workspaces = request.app[WORKSPACES]
    if workspaces is None:
        raise FilesDisabledError
    if "files" not in request[GRANT].rights:
        raise JobFileForbiddenError(detail=NO_RIGHT)
    return workspaces


def find_locator(request: web.Request) -> WorkspaceFileLocator:
    """Return the locator of the file that a request names; raises as `require_workspaces` does.

    Raises:
        BadRequestError: the path is invalid.
    """
    workspaces = require_workspaces(request)
    encoded = request.rel_url.raw_path.split("/", PATH_SEGMENT_INDEX)[PATH_SEGMENT_INDEX]
    return WorkspaceFileLocator(workspaces, parse_path(encoded), request[GRANT].job_scope)
