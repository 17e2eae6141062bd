"""Names and values in two columns, and the texts of facts that several commands show."""

import shlex
from collections.abc import Sequence
from itertools import zip_longest

from rich.text import Text

from marianne_stream.client.api_models import SheetTimesBody, WaitingBody
from marianne_stream.client.output import Output, pad
from marianne_stream.client.sanitize import strip_to_lines, strip_to_one_line
from marianne_stream.client.times import format_near_time, parse_iso_time
from marianne_stream.common.durations import format_duration

GAP_COLUMNS = 2
# Part of a terminal's width that names get at most, if it is more than the minimum.
MAX_NAME_SHARE = 3
MIN_NAME_COLUMNS = 14

# Statuses of jobs and sheets that have ended.
ENDED_STATUSES = frozenset({"completed", "failed", "cancelled", "stopped", "skipped"})

# Statuses of sheets that need not have begun.
UNSTARTED_STATUSES = frozenset({"pending", "ready", "skipped", "cancelled"})

# Numbers of stalled sheets that a sentence names.
MAX_STALLED = 8


def print_facts(output: Output, facts: Sequence[tuple[str, Text]]) -> None:
    """Print names and values in two columns, each wrapped between words."""
    console, width = output.console, output.console.width
    longest = max((len(name) for name, _ in facts), default=0)
    columns = min(longest, max(MIN_NAME_COLUMNS, width // MAX_NAME_SHARE))
    room = max(1, width - columns - GAP_COLUMNS)
    for name, value in facts:
        names = [row.plain.rstrip() for row in Text(name).wrap(console, columns)]
        for left, right in zip_longest(names, value.wrap(console, room)):
            line = Text.styled(pad(left or "", columns + GAP_COLUMNS), "quiet")
            line.append_text(right or Text())
            line.rstrip()
            console.print(line, soft_wrap=True)


def plain(text: str | None, style: str = "") -> Text:
    """Return a text of one line without control characters."""
    return Text(strip_to_one_line(text or ""), style=style)


def plain_lines(text: str | None, style: str = "") -> Text:
    """Return a text with its lines, without other control characters."""
    return Text("\n".join(strip_to_lines(text or "")), style=style)


def format_moment(text: str | None) -> str:
    """Format a time of the server with its date in local time; "" if it is unknown."""
    return format_near_time(parse_iso_time(text), None)


def has_begun(sheet: SheetTimesBody) -> bool:
    """Return whether a sheet has begun, also if its start is unknown."""
    signs = (sheet.started_at, sheet.attempt, sheet.failed_attempts)
    return any(signs) or sheet.status not in UNSTARTED_STATUSES


def find_end_s(status: str, ended_s: float | None, now_s: float | None) -> float | None:
    """Return the end of a job or sheet in epoch seconds, now while it goes on; None if unknown.

    `now_s` is None if it is not known whether the job still goes on.
    """
    return ended_s if ended_s is not None or status in ENDED_STATUSES else now_s


def format_span(
    status: str, started_at: str | None, completed_at: str | None, now_s: float | None
) -> str:
    """Format the duration of a job or sheet; "" if its start or its end is unknown."""
    started_s = parse_iso_time(started_at)
    ended_s = find_end_s(status, parse_iso_time(completed_at), now_s)
    return "" if started_s is None or ended_s is None else format_duration(ended_s - started_s)


def format_wait(waiting: WaitingBody, now_s: float | None) -> str:
    """Format the reason why a job waits, and until when: with the date unless it is today."""
    until = format_near_time(parse_iso_time(waiting.until), now_s)
    return strip_to_one_line(waiting.detail) + (f" Until {until}." if until else "")


def format_stalled(numbers: Sequence[int]) -> str:
    """Format the numbers of sheets that show no sign of life; "" if there are none."""
    if not numbers:
        return ""
    shown = ", ".join(map(str, numbers[:MAX_STALLED]))
    more = f" and {len(numbers) - MAX_STALLED} more" if len(numbers) > MAX_STALLED else ""
    return f"no sign of life from sheet{'s' if len(numbers) > 1 else ''} {shown}{more}"


def format_cost(dollars: float) -> str:
    """Format an estimated cost in US dollars."""
    amount = "less than 0.01" if 0 < dollars < 0.01 else f"{dollars:.2f}"
    return f"{amount} US dollars (estimated)"


def format_amounts(
    estimated_cost: float | None, input_tokens: int | None, output_tokens: int | None
) -> str:
    """Format an estimated cost and tokens; "" if they are unknown."""
    parts = []
    if estimated_cost is not None:
        parts.append(format_cost(estimated_cost))
    if input_tokens is not None:
        parts.append(f"{input_tokens:,} tokens in")
    if output_tokens is not None:
        parts.append(f"{output_tokens:,} tokens out")
    return ", ".join(parts)


def show_command(job_id: str) -> str:
    """Return the command that shows a job in full."""
    return f"marianne-stream show {shlex.quote(strip_to_one_line(job_id))}"
