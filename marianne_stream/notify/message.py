"""Messages of notifications: plain text about a change of a job. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple
from urllib.parse import quote

from marianne_stream.common.durations import format_duration
from marianne_stream.history.records import RunRecord, SheetRecord
from marianne_stream.jobs.run_times import make_run_name
from marianne_stream.jobs.waiting import SENTENCES
from marianne_stream.notify.rules import Kind
from marianne_stream.wire.control_characters import remove_controls

MAX_LINE_LENGTH = 300
MAX_ERROR_LINES = 5
# The part of an error that its first lines are taken from.
MAX_ERROR_LENGTH = 16 * 1024

# What makes a chat notify people or hide an address behind a text: `@here`, `<!channel>`, `<a>`,
# `<address|text>`, `[text](address)`.
MARKUP = re.compile(r"[@<]|\](?=\()")
ZERO_WIDTH_SPACE = "\u200b"

# What has happened, as a title and as a sentence.
JOB_TEXTS: dict[Kind, tuple[str, str]] = {
    "failed": ("failed", "The job has failed."),
    "completed": ("completed", "The job has completed."),
    "cancelled": ("cancelled", "The job was cancelled."),
    "paused": ("paused", SENTENCES["paused"]),
    "waiting_for_person": ("waits for a person", SENTENCES["paused_at_chain"]),
}
SHEET_TEXTS: dict[Kind, tuple[str, str]] = {
    "sheet_failed": ("sheet {number} failed", "Sheet {number} has failed."),
    "waiting_for_person": ("sheet {number} waits for a person", SENTENCES["person"]),
    "stalled": ("sheet {number} stalled", "Sheet {number} has shown no sign of life for long."),
}


@dataclass(frozen=True, slots=True)
class Notification:
    """A message, the same for all targets; its key, the last line of the body, tells repeats."""

    key: str
    kind: str
    job_id: str | None
    title: str
    body: str


class JobChange(NamedTuple):
    """A change of a job, or of a sheet, that rules may tell.

    `repeat` is its number among those of this kind in the run, and for sheets in the attempt.
    """

    kind: Kind
    job_id: str
    run: str
    sheet: int | None = None
    attempt: int = 1
    repeat: int = 1

    @property
    def key(self) -> str:
        """The key of the message: `JOB@RUN:KIND[:SHEET:ATTEMPT]`, and `#2` for the second."""
        sheet = "" if self.sheet is None else f":{self.sheet}:{self.attempt}"
        repeat = "" if self.repeat == 1 else f"#{self.repeat}"
        return f"{quote(self.job_id, safe='')}@{self.run}:{self.kind}{sheet}{repeat}"


def make_notification(
    change: JobChange,
    run: RunRecord,
    sheet: SheetRecord | None,
    public_url: str | None,
    *,
    now: float,
) -> Notification:
    """Return the message about a change.

    Args:
        change: the change.
        run: its run.
        sheet: its sheet, or one with which the job has failed; None if there is none.
        public_url: address at which users reach this server; None if it is unknown.
        now: time of the message in epoch seconds.
    """
    job = clean_line(change.job_id)
    texts = JOB_TEXTS if change.sheet is None else SHEET_TEXTS
    what, sentence = (text.format(number=change.sheet) for text in texts[change.kind])
    lines = [f"Job: {job}", sentence]
    if change.sheet is None and sheet is not None:
        lines.append(SHEET_TEXTS["sheet_failed"][1].format(number=sheet.number))
    if change.kind not in ("completed", "stalled"):
        error = run.error_message if change.sheet is None else None
        lines += first_lines(error or (sheet.error_message if sheet is not None else None) or "")
    lines.append(f"Sheets completed: {run.completed_sheets} of {run.total_sheets}")
    if run.started_at is not None:
        # A stall is no change of the run.
        until = run.completed_at or (now if change.kind == "stalled" else run.changed_at)
        lines.append(f"Worked for: {format_duration(until - run.started_at - run.waited_s)}")
    body = make_body(lines, public_url, f"/jobs/{quote(change.job_id, safe='')}", change.key)
    return Notification(change.key, change.kind, change.job_id, f"{job}: {what}", body)


def make_away_notification(since_s: float, public_url: str | None) -> Notification:
    """Return the message about a conductor that has not answered since a time in epoch seconds."""
    since = make_run_name(since_s)
    key = f"conductor@{since}:conductor_away"
    body = make_body([f"The conductor has not answered since {since}."], public_url, "", key)
    return Notification(key, "conductor_away", None, "The conductor is away", body)


def make_summary(key: str, counts: Mapping[str, int], public_url: str | None) -> Notification:
    """Return the message in place of others, which are counted by kind."""
    more = f"{sum(counts.values())} more"
    kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items())
    body = make_body([f"{more}: {kinds}"], public_url, "", key)
    return Notification(key, "summary", None, f"{more} notifications", body)


def make_body(lines: list[str], public_url: str | None, path: str, key: str) -> str:
    """Return lines of text with a link to a path of this server, if it is known, and a key."""
    link = [] if public_url is None else [public_url.rstrip("/") + path]
    return "\n".join([*lines, *link, key])


def first_lines(error: str) -> list[str]:
    """Return the first lines of an error with a heading; none without an error."""
    lines = filter(None, map(clean_line, error[:MAX_ERROR_LENGTH].splitlines()))
    found = list(islice(lines, MAX_ERROR_LINES))
    return ["Error:", *found] if found else []


def clean_line(text: str) -> str:
    """Return untrusted text for one line: cut, without control characters, mentions and markup."""
    line = MARKUP.sub(rf"\g<0>{ZERO_WIDTH_SPACE}", remove_controls(text).strip())
    return line if len(line) <= MAX_LINE_LENGTH else line[: MAX_LINE_LENGTH - 1] + "…"
