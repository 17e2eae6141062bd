"""Table of a job's sheets, for `show` and `watch`."""

from collections.abc import Collection, Iterable

from marianne_stream.client.api_models import SheetBody
from marianne_stream.client.facts import find_end_s
from marianne_stream.client.fitted_table import BarSpan, FittedRow, FittedTable, TableColumn
from marianne_stream.client.output import ELLIPSIS, status_style
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.client.times import format_near_time, parse_iso_time
from marianne_stream.common.durations import format_duration

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
    now_s: float | None,
    *,
    width: int,
    has_bars: bool,
    stalled: Collection[int] = (),
) -> FittedTable:
    """Return the table of a job's sheets, with bars in their time if there is room.

    Args:
        sheets: the sheets, in the order of the rows.
        now_s: time up to which their state is known, or None. Times of its day have no date.
        width: width of the lines.
        has_bars: whether there may be bars.
        stalled: numbers of the sheets that show no sign of life.
    """
    return FittedTable(
        COLUMNS,
        [make_sheet_row(sheet, now_s, is_stalled=sheet.number in stalled) for sheet in sheets],
        note_heading="ERROR",
        width=width,
        has_bars=has_bars,
    )


def make_sheet_row(sheet: SheetBody, now_s: float | None, *, is_stalled: bool) -> FittedRow:
    """Return the row of a sheet."""
    style = sheet_style(sheet.status)
    started_s = parse_iso_time(sheet.started_at)
    ended_s = find_end_s(sheet.status, parse_iso_time(sheet.completed_at), now_s)
    duration, span = "", BarSpan()
    if started_s is not None and ended_s is not None:
        duration = format_duration(ended_s - started_s)
        span = BarSpan(started_s, ended_s, style)
    # The conductor gives the reason of a skip as an error.
    is_fault = is_stalled or (sheet.error_message and sheet.status != "skipped")
    return FittedRow(
        [
            (str(sheet.number), ""),
            (strip_to_one_line(sheet.status), style),
            ("" if sheet.attempt is None else str(sheet.attempt), ""),
            (format_near_time(started_s, now_s), ""),
            (duration, ""),
        ],
        describe_sheet(sheet, now_s, is_stalled=is_stalled),
        span,
        note_style="fault" if is_fault else "quiet",
    )


def has_own_error(error: str | None, sheets: Iterable[SheetBody]) -> bool:
    """Return whether the error of a job is not that of a failed sheet, which the table shows."""
    if not error:
        return False
    shown = [sheet.error_message for sheet in sheets if sheet.status == "failed"]
    return not any(message and error.startswith(message) for message in shown)


def sheet_style(status: str) -> str:
    """Return the name of the style of a sheet's status; "" for an unknown status."""
    return SHEET_STYLES.get(status) or status_style(status)


def describe_sheet(sheet: SheetBody, now_s: float | None, *, is_stalled: bool) -> str:
    """Return the error of a sheet, or the reason why it does not go on."""
    if sheet.error_message:
        return sheet.error_message + (f" {ELLIPSIS}" if sheet.error_truncated else "")
    if is_stalled:
        return "no sign of life"
    if sheet.status == "fermata":
        return "waits for a person"
    until = format_near_time(parse_iso_time(sheet.waiting_until), now_s)
    return f"until {until}" if until else ""
