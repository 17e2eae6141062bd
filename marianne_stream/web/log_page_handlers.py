"""A job's log in pages. It must not know where a log lies, or how it is searched."""

from aiohttp import web

from marianne_stream.errors import BadParameterError
from marianne_stream.logs.filters import make_line_filter
from marianne_stream.logs.log_pager import LogPager, PageResult
from marianne_stream.logs.page_lines import PageLine
from marianne_stream.schemas import LogPage, LogPageLine, LogPagePartial
from marianne_stream.web.app_keys import LOG_LOCATOR
from marianne_stream.web.log_stream_handlers import CONTAINS, LEVEL, REGEX, read_log_source
from marianne_stream.web.params import (
    ChoiceParameter,
    NumberParameter,
    Parameter,
    TextParameter,
    read_job_id,
    repr_truncated,
)
from marianne_stream.web.responses import json_response
from marianne_stream.wire.conductor_lines import parse_conductor_line
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_levels import parse_line_facts
from marianne_stream.wire.log_lines import LogLine

BEFORE = TextParameter("before", "The cursor of a line: the page holds the lines before it.")
AFTER = TextParameter("after", "A cursor: the page holds the lines behind it.")
AROUND = TextParameter("around", "The cursor of a line: the page holds it, and those around it.")
FROM = ChoiceParameter(
    "from",
    ("end", "start"),
    "The end of the log that the page is read from, if no cursor is given.",
    default="end",
)
EDGE_RENAMED = (
    "edge was renamed: use from=end instead of edge=newest, and from=start instead of edge=oldest"
)
LIMIT = NumberParameter("limit", 100, 1, 1000, "How many lines a page holds.", is_integer=True)
CONTEXT = NumberParameter(
    "context",
    0,
    0,
    50,
    "How many lines are shown before and behind each that is found.",
    is_integer=True,
)


async def get_log_page(request: web.Request) -> web.Response:
    """`GET /api/jobs/{job_id}/logs/lines`: a page of the log, or of what a search finds in it."""
    job_id, source, limit = read_job_id(request), read_log_source(request), int(LIMIT.read(request))
    if "edge" in request.query:
        raise BadParameterError(detail=EDGE_RENAMED)
    require_single_anchor(request, BEFORE, AFTER, AROUND, FROM)
    context = int(CONTEXT.read(request))
    if context and AROUND.name in request.query:
        raise BadParameterError(detail="around and context cannot be given together")
    before, after = read_cursor(request, BEFORE), read_cursor(request, AFTER)
    around, start = read_cursor(request, AROUND), FROM.read(request)
    only = make_line_filter(
        contains=CONTAINS.read(request), regex=REGEX.read(request), level=LEVEL.read(request)
    )
    job_logs = request.app[LOG_LOCATOR]
    folders = await job_logs.find_dirs(job_id)
    log = await job_logs.find_log(job_id, folders, source)
    history = LogPager(
        log,
        line_filter=only,
        max_lines=limit,
        job_ended=folders.job_ended,
        context_lines=context if only is not None else 0,
    )
    if before is not None:
        page = await history.read_before(before)
    elif after is not None:
        page = await history.read_after(after)
    elif around is not None:
        page = await history.read_around(around)
    elif start == "start":
        page = await history.read_oldest()
    else:
        page = await history.read_newest()

    def encode() -> bytes:
        place = log.path
        return make_log_page(
            job_id, place.display_path, page, is_conductor_log=place.is_conductor_log
        ).json_bytes()

    # A page of many lines takes 50 ms.
    return json_response(await log.threads.read(encode))


def require_single_anchor(request: web.Request, *parameters: Parameter) -> None:
    """Makes sure that a request says once where its page begins.

    Raises:
        BadParameterError: more than one of the parameters is given.
    """
    given = [parameter.name for parameter in parameters if parameter.name in request.query]
    if len(given) > 1:
        raise BadParameterError(detail=f"{' and '.join(given)} cannot be given together")


def read_cursor(request: web.Request, parameter: TextParameter) -> LogCursor | None:
    """The position that a parameter gives; None where it is left out.

    Raises:
        BadParameterError: it is given twice, or is none.
    """
    text = parameter.read(request)
    if text is None:
        return None
    cursor = LogCursor.parse(text)
    if cursor is None:
        raise BadParameterError(
            detail=f"{parameter.name} must be a cursor of a log, got {repr_truncated(text)}"
        )
    return cursor


def make_page_partial(line: LogLine | None) -> LogPagePartial | None:
    """An unfinished line as a client reads it."""
    return (
        LogPagePartial(line=line.display_text, line_number=line.number)
        if line is not None
        else None
    )


def make_log_page(
    job_id: str, log_file: str, page: PageResult, *, is_conductor_log: bool
) -> LogPage:
    """A page as a client reads it."""
    return LogPage(
        job_id=job_id,
        source="conductor" if is_conductor_log else "job",
        log_file=log_file,
        lines=[make_page_line(found, is_conductor_log=is_conductor_log) for found in page.lines],
        before=str(page.before) if page.before is not None else None,
        after=str(page.after) if page.after is not None else None,
        stopped_by=page.stopped_by,
        read_bytes=page.read_bytes,
        unread_bytes=page.unread_bytes,
        gap=page.has_gap,
        partial=make_page_partial(page.partial),
    )


def make_page_line(item: PageLine, *, is_conductor_log: bool) -> LogPageLine:
    """A line as it stands on a page."""
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
