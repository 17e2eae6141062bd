"""Table of a job's sheets, for `show` and `watch`."""

from collections.abc import Collection, Iterable

from marianne_stream.client.api_models import SheetBody
from marianne_stream.client.fitted_table import BarSpan, FittedRow, FittedTable, TableColumn
from marianne_stream.client.output import ELLIPSIS, status_style
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.client.times import format_duration, format_time, parse_iso_time

ENDED_SHEETS = frozenset({"completed", "failed", "cancelled", "stopped", "skipped"})

# Statuses of sheets in the styles of jobs.
SHEET_STYLES = {
    "dispatched": "status.running",
    "in_progress": "status.running",
    "ready": "status.queued",
    "waiting": "status.paused",
    "retry_scheduled": "status.paused",
    "fermata": "status.paused",
    "stopped": "status.cancelled",
    "skipped": "status.cancelled",
}

COLUMNS = (
    *(TableColumn("SHEET"), TableColumn("STATUS"), TableColumn("TRY", rank=2)),
    *(TableColumn("STARTED", rank=1), TableColumn("DURATION", rank=3)),
)


def make_sheet_table(
    sheets: Iterable[SheetBody],
    now_s: float,
    *,
    width: int,
    has_bars: bool,
    stalled: Collection[int] = (),
) -> FittedTable:
    """Return the table of a job's sheets, with bars in their time if there is room."""
    return FittedTable(
        COLUMNS,
        [make_sheet_row(sheet, now_s, stalled=stalled) for sheet in sheets],
        note_heading="ERROR",
        width=width,
        has_bars=has_bars,
    )


def make_sheet_row(sheet: SheetBody, now_s: float, *, stalled: Collection[int]) -> FittedRow:
    """Return the row of a sheet."""
    style = sheet_style(sheet.status)
    started_s, ended_s = parse_iso_time(sheet.started_at), parse_iso_time(sheet.completed_at)
    if ended_s is None and sheet.status not in ENDED_SHEETS:
        ended_s = now_s
    start = duration = ""
    span = BarSpan()
    if started_s is not None:
        start = format_time(started_s)
        if ended_s is not None:
            duration = format_duration(ended_s - started_s)
            span = BarSpan(started_s, ended_s, style)
    return FittedRow(
        [
            (str(sheet.number), ""),
            (strip_to_one_line(sheet.status), style),
            ("" if sheet.attempt is None else str(sheet.attempt), ""),
            (start, ""),
            (duration, ""),
        ],
        describe_sheet(sheet, is_stalled=sheet.number in stalled),
        span,
        note_style="fault" if sheet.error_message or sheet.number in stalled else "quiet",
    )


def sheet_style(status: str) -> str:
    """Return the name of the style of a sheet's status; "" for an unknown status."""
    return SHEET_STYLES.get(status) or status_style(status)


def describe_sheet(sheet: SheetBody, *, is_stalled: bool) -> str:
    """Return the error of a sheet, or the reason why it does not go on."""
    if sheet.error_message:
        return sheet.error_message + (f" {ELLIPSIS}" if sheet.error_truncated else "")
    if is_stalled:
        return "no sign of life"
    until_s = parse_iso_time(sheet.waiting_until)
    return "" if until_s is None else f"until {format_time(until_s)}"
