"""Notices about a log on standard error: missing, cut and rotated parts."""

from collections.abc import Iterable

from marianne_stream.client.api_models import LogLineBody
from marianne_stream.client.messages import StderrReporter
from marianne_stream.client.sse_client import StreamEvent

GAP_MESSAGES = {
    "cursor_expired": "the position in the log has expired; its newest lines follow",
    "truncated": "a part of the log is missing: the file was truncated, and no copy is complete",
    "rotated_away": "a part of the log is missing: a rotated file could not be read to its end",
}


def report_truncated(
    reporter: StderrReporter, lines: Iterable[LogLineBody], job_id: str = ""
) -> None:
    """Report lines that are cut; with several jobs, `job_id` names the one."""
    for line in lines:
        if line.truncated:
            sentence = f"line {line.line_number} is longer than 64 KiB: its beginning is shown"
            reporter.report(with_job(sentence, job_id))


def report_log_event(reporter: StderrReporter, event: StreamEvent, job_id: str = "") -> None:
    """Report a missing log, lost lines and rotations; `job_id` is as above."""
    sentence = ""
    if event.name == "log_missing":
        sentence = str(event.data.get("detail"))
    elif event.name == "log_gap":
        reason, lost_bytes = event.data.get("reason"), event.data.get("lost_bytes")
        sentence = GAP_MESSAGES.get(str(reason), f"a part of the log is missing: {reason}")
        sentence += f" ({lost_bytes} bytes)" if lost_bytes else ""
    elif event.name == "log_rotated":
        sentence = f"the log was {event.data.get('reason')}: its lines start again at 1"
    if sentence:
        reporter.report(with_job(sentence, job_id))


def with_job(sentence: str, job_id: str) -> str:
    """Put the name of a job before a sentence, if one is given."""
    return f"{job_id}: {sentence}" if job_id else sentence
