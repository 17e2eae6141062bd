"""Tests of how long a run has worked: one figure for all commands."""

import io
from typing import Any

import msgspec
import pytest

from marianne_stream.client.api_models import JobBody, JobDetailBody, RunBody, StatusBody
from marianne_stream.client.job_table import make_table
from marianne_stream.client.job_view import describe_run_duration, job_facts
from marianne_stream.client.live_table import format_job_cells
from marianne_stream.client.output import Output
from marianne_stream.client.run_span import format_run_duration
from marianne_stream.client.watched_job import WatchedJob


def at(seconds: int) -> str:
    return f"1970-01-01T00:{seconds // 60:02}:{seconds % 60:02}Z"


def pause(since_s: int | None) -> dict[str, Any]:
    since = None if since_s is None else at(since_s)
    return {"code": "paused", "detail": "The job is paused.", "since": since}


# Times of a job that has started at 10 s, read at 100 s, and its duration.
CASES: list[tuple[dict[str, Any], str]] = [
    ({"status": "running"}, "1m 30s"),
    ({"status": "running", "waited_s": 40.5}, "49s"),
    ({"status": "paused", "waiting": pause(70)}, "1m 00s"),
    ({"status": "paused", "waiting": pause(70), "waited_s": 20}, "40s"),
    ({"status": "running", "waiting": pause(70), "waited_s": 20}, "40s"),
    # A sheet of the paused job is still at work.
    ({"status": "paused", "waiting": pause(None), "waited_s": 20}, "1m 10s"),
    ({"status": "failed", "completed_at": at(90), "waited_s": 20}, "1m 00s"),
    ({"status": "completed", "completed_at": at(90)}, "1m 20s"),
    # A server that does not know since when.
    ({"status": "paused", "waiting": pause(None), "last_progress_at": at(80)}, "1m 10s"),
    ({"status": "paused", "waiting": pause(None)}, ""),
    ({"status": "paused_at_chain"}, ""),
    ({"status": "running", "waiting": pause(None)}, "1m 30s"),
    ({"status": "failed", "waited_s": 20}, ""),
    # Clocks that differ.
    ({"status": "paused", "waiting": pause(5)}, "0s"),
]


@pytest.mark.parametrize(("times", "shown"), CASES)
def test_all_commands_show_the_same_duration_of_a_job(times: dict[str, Any], shown: str) -> None:
    job = {"job_id": "tide", "run": at(9), "started_at": at(10), **times}
    body, now_s = msgspec.convert(job, StatusBody), 100.0
    watched = WatchedJob("tide")
    watched.apply(body, now_s=now_s)
    stream = io.StringIO()
    output = Output(stream, environ={})
    output.console.print(make_table([msgspec.convert(job, JobBody)], output, now_s=now_s))
    *_, last = stream.getvalue().splitlines()[-1].split("  ")
    facts = {
        name: value.plain for name, value in job_facts(msgspec.convert(job, JobDetailBody), now_s)
    }
    # The record of a run that goes on counts the present wait as well.
    waited_s = times.get("waited_s") if "completed_at" in times else 99.0
    recorded = {**job, "waited_s": waited_s}
    run = msgspec.convert(recorded, RunBody)
    assert {
        "jobs": last.strip().removeprefix("-"),
        "show": facts.get("duration", ""),
        "watch": format_job_cells(watched, now_s).duration,
        "runs": describe_run_duration(run, body, now_s),
    } == dict.fromkeys(("jobs", "show", "watch", "runs"), shown)


@pytest.mark.parametrize("times", [times for times, _ in CASES if "completed_at" not in times])
def test_job_that_is_not_live_and_has_no_end_has_no_duration(times: dict[str, Any]) -> None:
    job = msgspec.convert({"job_id": "tide", "started_at": at(10), **times}, JobBody)
    assert format_run_duration(job, None) == ""


def test_paused_job_stands_still_and_goes_on_without_its_pause() -> None:
    job = WatchedJob("tide")
    entry = {"job_id": "tide", "status": "running", "started_at": at(10)}
    job.apply(msgspec.convert(entry, JobBody), now_s=20.0)
    paused = {**entry, "status": "paused", "waiting": pause(30)}
    job.apply(msgspec.convert(paused, JobBody), now_s=31.0)
    assert [job.duration_s(now_s) for now_s in (31.0, 300.0)] == [20.0, 20.0]
    job.apply(msgspec.convert({**entry, "waited_s": 270.0}, JobBody), now_s=301.0)
    assert [job.duration_s(now_s) for now_s in (301.0, 303.0)] == [21.0, 23.0]
    # The roster may not give the end.
    job.apply(
        msgspec.convert({**entry, "waited_s": 270.0, "status": "failed"}, JobBody), now_s=304.0
    )
    assert job.duration_s(999.0) == 24.0
