"""What a server's answers hold, as far as a terminal shows it.

A newer server may say more: what is not known here is passed over. It asks nobody.
"""

from typing import Any

import msgspec


class JobBody(msgspec.Struct, frozen=True):
    """An entry of the roster."""

    job_id: str
    status: str
    submitted_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    completed_sheets: int | None = None
    total_sheets: int | None = None
    current_sheet: int | None = None


class JobPageBody(msgspec.Struct, frozen=True):
    """A page of the roster; the entries as they came, since `--json` prints them so."""

    jobs: list[dict[str, Any]]
    next: str | None = None


class JobTimesBody(msgspec.Struct, frozen=True):
    """One job, as far as its status does not say it."""

    started_at: str | None = None
    completed_at: str | None = None


class StatusBody(msgspec.Struct, frozen=True):
    """The data of `get_job_status`."""

    status: str
    completed_sheets: int = 0
    total_sheets: int = 0
    current_sheet: int | None = None
    error_message: str | None = None


class RosterBody(msgspec.Struct, frozen=True):
    """The data of `roster`."""

    complete: bool
    jobs: list[JobBody]
    removed: list[str]


class LogLineBody(msgspec.Struct, frozen=True):
    """The data of `log`."""

    line: str
    line_number: int = 0
    truncated: bool = False
    source: str = ""


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of an answer that is an error."""

    detail: str
    code: str = ""


class TimelineEventBody(msgspec.Struct, frozen=True):
    """The data of an event of the timeline."""

    event: str = ""
    job_id: str = ""
    sheet_num: int = 0
    data: object = None
    timestamp: float = 0.0
