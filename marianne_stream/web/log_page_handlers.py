"""Handler for a log in pages, and for searching it."""

import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

from aiohttp import web

from marianne_stream.errors import BadParameterError
from marianne_stream.feeds.log_locator import LogLocator
from marianne_stream.logs.filters import make_line_filter
from marianne_stream.logs.line_finder import LineTime
from marianne_stream.logs.log_pager import LogPager
from marianne_stream.logs.page_lines import PageLine
from marianne_stream.logs.page_result import PageResult
from marianne_stream.schemas.log_schemas import LogPage, LogPageLine, LogPagePartial
from marianne_stream.web.app_keys import LOG_LOCATOR
from marianne_stream.web.log_stream_handlers import CONTAINS, LEVEL, REGEX, read_log_source
from marianne_stream.web.params import (
    ChoiceParameter,
    NumberParameter,
    TextParameter,
    read_job_id,
    repr_truncated,
)
from marianne_stream.web.responses import json_response
from marianne_stream.wire.conductor_lines import parse_conductor_line
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_levels import parse_line_facts
from marianne_stream.wire.log_lines import LogLine

CHECK_RE = re.compile(r"[0-9a-f]{0,16}")

# More than any log has.
MAX_LINE_NUMBER = 10**12

BEFORE = TextParameter("before", "The cursor of a line: the page holds the lines before it.")
AFTER = TextParameter("after", "A cursor: the page holds the lines behind it.")
AROUND = TextParameter("around", "The cursor of a line: the page holds it, and those around it.")
FROM = ChoiceParameter(
    "from",
    "The end of the log that the page is read from, if no cursor is given.",
    ("end", "start"),
    default="end",
)
EDGE_RENAMED = (
    "edge was renamed: use from=end instead of edge=newest, and from=start instead of edge=oldest"
)
LINE = NumberParameter(
    "line",
    "Number of a line: the page holds it, and the lines around it. 0 for none.",
    0,
    0,
    MAX_LINE_NUMBER,
    is_integer=True,
)
CHECK = TextParameter(
    "check",
    "With `line`: beginning of the last part of the line's cursor. Finds the line in the file in "
    "which it has this cursor.",
    max_chars=16,
)
TIME = TextParameter(
    "time",
    "The page holds the first line of this time or later, and the lines around it. Without an "
    "offset: a time as the lines show it.",
)
LIMIT = NumberParameter("limit", "Number of lines on a page.", 100, 1, 1000, is_integer=True)
CONTEXT = NumberParameter(
    "context",
    "Number of lines before and after each match.",
    0,
    0,
    50,
    is_integer=True,
)

PAGE_PARAMETERS = (BEFORE, AFTER, AROUND, LINE, CHECK, TIME, FROM, LIMIT, CONTEXT)

# What a page can be read around or from; only one is given.
PLACES = (BEFORE, AFTER, AROUND, LINE, TIME, FROM)

# The read of the page at the cursor in each parameter.
CURSOR_READS = {
    BEFORE: LogPager.read_before,
    AFTER: LogPager.read_after,
    AROUND: LogPager.read_around,
}

PageReader = Callable[[LogPager], Awaitable[PageResult]]


async def get_log_page(request: web.Request) -> web.Response:
    """`GET /api/jobs/{job_id}/logs/lines`: a page of the log, or of the lines that match."""
    return await send_log_page(request, request.app[LOG_LOCATOR])


async def send_log_page(request: web.Request, locator: LogLocator) -> web.Response:
    """Return the requested page of the log that a locator finds."""
    job_id, source, limit = read_job_id(request), read_log_source(request), int(LIMIT.read(request))
    if "edge" in request.query:
        raise BadParameterError(detail=EDGE_RENAMED)
    context = int(CONTEXT.read(request))
    read_page = select_page(request)
    line_filter = make_line_filter(
        contains=CONTAINS.read(request), regex=REGEX.read(request), level=LEVEL.read(request)
    )
    dirs = await locator.find_dirs(job_id)
    log = await locator.find_log(job_id, dirs, source)
    pager = LogPager(
        log,
        line_filter=line_filter,
        max_lines=limit,
        job_ended=dirs.job_ended,
        context_lines=context if line_filter is not None else 0,
    )
    page = await read_page(pager)

    def encode() -> bytes:
        path = log.path
        return make_log_page(
            job_id, path.display_path, page, is_conductor_log=path.is_conductor_log
        ).json_bytes()

    # In a thread: encoding a page of many lines takes 50 ms.
    return json_response(await log.threads.read(encode))


def select_page(request: web.Request) -> PageReader:
    """Return the read of the requested page; raise BadParameterError if it is ambiguous."""
    given = [place.name for place in PLACES if place.name in request.query]
    if len(given) > 1:
        raise BadParameterError(detail=f"{' and '.join(given)} cannot be given together")
    for parameter, read_at in CURSOR_READS.items():
        cursor = read_cursor(request, parameter)
        if cursor is not None:
            return partial(read_at, cursor=cursor)
    check = read_check(request)
    if number := int(LINE.read(request)):
        return partial(LogPager.read_around_line, number=number, check=check)
    time = TIME.read(request)
    if time is not None:
        return partial(LogPager.read_around_time, time=parse_time(time))
    return LogPager.read_oldest if FROM.read(request) == "start" else LogPager.read_newest


def read_cursor(request: web.Request, parameter: TextParameter) -> LogCursor | None:
    """Return the cursor in a parameter, or None; raise BadParameterError if it is invalid."""
    text = parameter.read(request)
    if text is None:
        return None
    cursor = LogCursor.parse(text)
    if cursor is None:
        raise BadParameterError(
            detail=f"{parameter.name} must be a cursor of a log, got {repr_truncated(text)}"
        )
    return cursor


def read_check(request: web.Request) -> str:
    """Return the check of a line number; raise BadParameterError if it is invalid."""
    check = CHECK.read(request) or ""
    if not CHECK_RE.fullmatch(check):
        raise BadParameterError(
            detail=f"check must be up to 16 hexadecimal digits, got {repr_truncated(check)}"
        )
    return check


def parse_time(text: str) -> LineTime:
    """Parse a time to find; raise BadParameterError if it is invalid."""
    try:
        return LineTime(datetime.fromisoformat(text.upper()))
    except ValueError as error:
        raise BadParameterError(
            detail=f"time must be a time as ISO 8601, got {repr_truncated(text)}"
        ) from error


def make_page_partial(line: LogLine | None) -> LogPagePartial | None:
    """Return the schema of an unfinished line."""
    return (
        LogPagePartial(line=line.display_text, line_number=line.number)
        if line is not None
        else None
    )


def make_log_page(
    job_id: str, log_file: str, page: PageResult, *, is_conductor_log: bool
) -> LogPage:
    """Return the schema of a page."""
    return LogPage(
        job_id=job_id,
        source="conductor" if is_conductor_log else "job",
        log_file=log_file,
        lines=[
            make_page_line(found, is_conductor_log=is_conductor_log)
            for found in page.lines_with_context()
        ],
        before=str(page.before) if page.before is not None else None,
        after=str(page.after) if page.after is not None else None,
        stopped_by=page.stopped_by,
        read_bytes=page.read_bytes,
        unread_bytes=page.unread_bytes,
        gap=page.has_gap,
        partial=make_page_partial(page.partial),
        target=str(page.target) if page.target is not None else None,
    )


def make_page_line(item: PageLine, *, is_conductor_log: bool) -> LogPageLine:
    """Return the schema of a line."""
    line, cursor, match = item
    text = line.display_text
    level, logged_at = parse_line_facts(text)
    return LogPageLine(
        line=text,
        line_number=line.number,
        cursor=str(cursor),
        truncated=line.truncated,
        match=match,
        level=level,
        logged_at=logged_at,
        begins_run=is_conductor_log and parse_conductor_line(line.text).is_run_start,
    )
