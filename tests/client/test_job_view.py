"""Tests of `show`: facts of a job and of a sheet."""

import io
from typing import Any

import msgspec
import pytest
from aiohttp import web

from marianne_stream.client.api_models import JobDetailBody
from marianne_stream.client.job_view import job_facts, print_job, print_runs
from marianne_stream.client.output import Output
from marianne_stream.client.retry import RetryPolicy
from marianne_stream.client.sheet_view import print_sheet
from tests.support.screens import Screen
from tests.support.scripted_server import ScriptedServer, error_response

JOB = {
    "job_id": "nightly",
    "status": "completed",
    "completed_sheets": 1,
    "total_sheets": 1,
    "estimated_cost": 1.5,
    "input_tokens": 12000,
    "hooks": [
        {"hook_type": "shell", "success": True, "chained_job_id": "weekly"},
        {"description": "publish", "success": False, "error_message": "no network"},
    ],
    "sheets": [
        {"number": 1, "status": "failed", "error_message": "cut", "error_truncated": True},
        {"number": 2, "status": "waiting", "waiting_until": "2026-11-28T12:00:00Z"},
    ],
}


def answer(body: dict[str, Any]) -> Any:
    return lambda: web.json_response(body)


def test_facts_of_a_job_name_cost_and_hooks() -> None:
    facts = [
        (name, value.plain) for name, value in job_facts(msgspec.convert(JOB, JobDetailBody), 0.0)
    ]
    assert facts == [
        ("job", "nightly"),
        ("status", "completed, 1/1 sheets"),
        ("cost", "1.50 US dollars (estimated), 12,000 tokens in"),
        ("hook", "shell: ok, started weekly"),
        ("hook", "publish: failed: no network"),
    ]


async def test_show_asks_for_the_whole_of_an_error_that_was_cut() -> None:
    stream = io.StringIO()
    scripted = ScriptedServer(answer(JOB), answer({"error_message": "the whole error"}))
    async with scripted.run() as client:
        assert await print_job(client, Output(stream, environ={}), "nightly", as_json=False) == 0
    assert [request.path for request in scripted.requests] == [
        *("/api/jobs/nightly", "/api/jobs/nightly/sheets/1"),
    ]
    *_, first, second = stream.getvalue().splitlines()
    assert first.split() == ["1", "failed", "the", "whole", "error"]
    assert second.split()[:3] == ["2", "waiting", "until"]


async def test_sheet_is_shown_in_words_with_its_output() -> None:
    sheet = {
        "number": 3,
        "status": "failed",
        "attempt": 2,
        "max_retries": 3,
        "started_at": "2026-11-28T12:00:00Z",
        "completed_at": "2026-11-28T12:01:05Z",
        "observed": True,
        "timeout_s": 1800.0,
        "validation_passed": False,
        "validation_details": [{"name": "exists", "passed": False}, "plain"],
        "exit_code": 0,
        "estimated_cost": 0.5,
        "error_message": "first\nsecond",
        "stdout_tail": "out 1\nout 2\n",
        "output_truncated": True,
    }
    stream = io.StringIO()
    async with ScriptedServer(answer(sheet)).run() as client:
        output = Output(stream, environ={})
        assert await print_sheet(client, output, "nightly", 3, as_json=False) == 0
    facts, *texts = stream.getvalue().split("\n\n")
    rows = [" ".join(line.split()) for line in facts.splitlines()]
    assert {"sheet 3", "status failed", "attempt 2 of 3", "duration 1m 05s"} <= set(rows)
    assert {"timeout 30m 00s", "validation passed no", "exit code 0"} <= set(rows)
    assert "times seen by the server, not told by the conductor" in rows
    assert "cost 0.50 US dollars (estimated)" in rows
    at = rows.index("validation details name: exists, passed: no")
    assert rows[at + 1] == "plain"
    assert [text.splitlines() for text in texts] == [
        ["error", "first", "second"],
        ["output", "out 1", "out 2"],
        ["The conductor has kept only the end of the output."],
    ]


async def test_runs_are_listed_with_their_errors() -> None:
    run = {"run": "2026-11-28T12:00:00Z", "status": "failed", "error_message": "Exit code 1"}
    stream = io.StringIO()
    async with ScriptedServer(answer({"runs": [run]})).run() as client:
        output = Output(stream, environ={})
        assert await print_runs(client, output, "nightly", 10, as_json=False) == 0
    assert stream.getvalue().splitlines()[1].split() == [
        *("2026-11-28T12:00:00Z", "failed", "Exit", "code", "1"),
    ]


START = "2026-11-21T00:00:00Z"
LIVE = {"ready": True, "source": "conductor", "live": True, "reasons": []}
AWAY = {"source": "registry", "live": False}


async def show(*bodies: dict[str, Any], sheet: int | None = None) -> tuple[str, list[str]]:
    """Show a job or a sheet; return the output, and the messages of the client."""
    stream = io.StringIO()
    scripted = ScriptedServer(*map(answer, bodies))
    async with scripted.run() as client:
        output = Output(stream, environ={})
        if sheet is None:
            assert await print_job(client, output, "nightly", as_json=False) == 0
        else:
            assert await print_sheet(client, output, "nightly", sheet, as_json=False) == 0
    return stream.getvalue(), scripted.messages


async def show_runs(*bodies: dict[str, Any]) -> tuple[str, list[str]]:
    """List runs; return the output, and the messages of the client."""
    stream = io.StringIO()
    scripted = ScriptedServer(*map(answer, bodies))
    async with scripted.run() as client:
        output = Output(stream, environ={})
        assert await print_runs(client, output, "nightly", 10, as_json=False) == 0
    return stream.getvalue(), scripted.messages


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
async def test_ended_job_without_an_end_has_no_duration(status: str) -> None:
    sheets = [{"number": 1, "status": "stopped", "started_at": START}]
    job = {"job_id": "nightly", "status": status, "started_at": START, "sheets": sheets}
    shown, messages = await show(job)
    facts, table = shown.split("\n\n")
    assert "duration" not in facts
    heading, row = table.splitlines()
    assert heading.split() == ["SHEET", "STATUS", "TRY", "STARTED", "DURATION", "ERROR"]
    assert row.split()[:2] == ["1", "stopped"]
    assert not row.endswith(("s", "m", "h"))
    assert messages == []


async def test_stopped_sheet_without_an_end_has_no_duration() -> None:
    shown, _ = await show({"number": 1, "status": "stopped", "started_at": START}, sheet=1)
    assert "started" in shown
    assert "duration" not in shown


async def test_run_without_an_end_has_no_duration() -> None:
    run = {"run": START, "status": "failed", "started_at": START}
    shown, messages = await show_runs({"runs": [run]})
    assert not shown.splitlines()[1].endswith(("s", "m", "h"))
    assert messages == []


async def test_running_job_of_a_conductor_that_is_away_is_not_live() -> None:
    sheets = [{"number": 1, "status": "dispatched", "started_at": START}]
    job = {"job_id": "nightly", "status": "running", "started_at": START, "sheets": sheets}
    shown, _ = await show({**job, **AWAY})
    facts, table = shown.split("\n\n")
    assert "not live  the state is from the registry, not from the conductor, and" in facts
    assert "duration" not in facts
    assert not table.splitlines()[1].endswith(("s", "m", "h"))
    shown, _ = await show({**job, "source": "conductor", "live": True})
    assert "not live" not in shown
    assert "duration" in shown


async def test_ended_job_from_the_registry_is_not_called_out_of_date() -> None:
    shown, _ = await show({"job_id": "nightly", "status": "failed", **AWAY})
    assert "not live" not in shown


READY_FROM_REGISTRY = {"ready": True, **AWAY, "reasons": ["Jobs are shown as they were saved."]}


async def test_running_sheet_and_run_are_not_live_while_the_conductor_is_away() -> None:
    sheet = {"number": 1, "status": "dispatched", "started_at": START}
    shown, messages = await show(sheet, READY_FROM_REGISTRY, sheet=1)
    assert "duration" not in shown
    assert messages == ["marianne-stream: Jobs are shown as they were saved"]
    run = {"run": START, "status": "running", "started_at": START}
    shown, messages = await show_runs({"runs": [run]}, READY_FROM_REGISTRY)
    assert not shown.splitlines()[1].endswith(("s", "m", "h"))
    assert messages == ["marianne-stream: Jobs are shown as they were saved"]
    job = {"job_id": "nightly", **run}
    shown, messages = await show_runs({"runs": [run]}, LIVE, job)
    assert shown.splitlines()[1].endswith(("s", "m", "h"))
    assert messages == []


async def test_run_that_goes_on_has_the_duration_of_its_job() -> None:
    run = {"run": START, "status": "running", "started_at": START}
    waiting = {"detail": "The job is paused.", "since": "2026-11-21T00:01:00Z"}
    job = {"job_id": "nightly", **run, "waited_s": 20.0, "waiting": waiting}
    recorded = {**run, "status": "paused", "waited_s": 60.0}
    shown, _ = await show_runs({"runs": [recorded]}, LIVE, job)
    assert shown.splitlines()[1].endswith(" 40s")
    shown, _ = await show_runs({"runs": [recorded]}, LIVE, {**job, "run": "2026-11-28T00:00:00Z"})
    assert shown.splitlines()[1].split()[-1] == "00:00:00"


async def test_run_of_a_job_that_the_conductor_has_forgotten_has_no_duration() -> None:
    run = {"run": START, "status": "running", "started_at": START}
    server = ScriptedServer(answer({"runs": [run]}), answer(LIVE), error_response(404))
    stream = io.StringIO()
    async with server.run() as client:
        output = Output(stream, environ={})
        assert await print_runs(client, output, "nightly", 10, as_json=False) == 0
    assert not stream.getvalue().splitlines()[1].endswith(("s", "m", "h"))


async def test_error_of_a_job_keeps_its_lines() -> None:
    error = "Traceback:\n  File x\nValueError\r\n"
    shown, _ = await show({"job_id": "nightly", "status": "failed", "error_message": error})
    assert [line.rstrip() for line in shown.splitlines()[2:]] == [
        "error   Traceback:",
        "          File x",
        "        ValueError",
    ]


async def test_error_that_a_failed_sheet_has_is_shown_once() -> None:
    sheets = [{"number": 1, "status": "failed", "error_message": "Exit code 1"}]
    job = {"job_id": "nightly", "status": "failed", "error_message": "Exit code 1"}
    shown, _ = await show({**job, "sheets": sheets})
    assert shown.count("Exit code 1") == 1
    sheets[0]["status"] = "stopped"
    shown, _ = await show({**job, "sheets": sheets})
    assert shown.count("Exit code 1") == 2


async def test_progress_bar_in_the_output_of_a_sheet_is_its_last_state() -> None:
    sheet = {"number": 1, "status": "failed", "stdout_tail": "10%\r20%\r100%\ndone\n"}
    shown, _ = await show({**sheet, "error_message": "1\r2"}, sheet=1)
    _, *texts = shown.split("\n\n")
    assert [text.splitlines() for text in texts] == [["error", "2"], ["output", "100%", "done"]]


@pytest.mark.parametrize(
    ("status", "heading", "is_red"), [("skipped", "reason", False), ("failed", "error", True)]
)
async def test_reason_of_a_skipped_sheet_is_not_an_error(
    status: str,
    heading: str,
    is_red: bool,  # noqa: FBT001
) -> None:
    sheet = {"number": 1, "status": status, "attempt": 1, "error_message": "Blocked by sheet 3"}
    screen = Screen()
    job = {"job_id": "nightly", "status": "completed", "sheets": [sheet]}
    async with ScriptedServer(answer(job), answer(sheet)).run() as client:
        output = Output(screen, environ={"TERM": "xterm"})
        await print_job(client, output, "nightly", as_json=False)
        await print_sheet(client, output, "nightly", 1, as_json=False)
    in_table, in_full = (line for line in screen.getvalue().splitlines() if "Blocked" in line)
    assert ("\x1b[31mBlocked" in in_table, "\x1b[31mBlocked" in in_full) == (is_red, is_red)
    assert f"\n\x1b[2m{heading}\x1b[0m\n" in screen.getvalue().replace("\r", "")


@pytest.mark.parametrize(
    ("sheet", "sentence"),
    [
        ({"status": "dispatched", "attempt": 1}, "The conductor tells the output once the sheet"),
        ({"status": "in_progress", "started_at": START}, "The conductor tells the output once"),
        ({"status": "fermata"}, "The conductor tells the output once the sheet has ended."),
        ({"status": "pending", "failed_attempts": 1}, "The conductor tells the output once the"),
        ({"status": "failed", "attempt": 1}, "This conductor keeps no output of this sheet."),
        ({"status": "stopped"}, "This conductor keeps no output of this sheet."),
        ({"status": "pending"}, ""),
        ({"status": "skipped"}, ""),
    ],
)
async def test_missing_output_has_a_reason(sheet: dict[str, Any], sentence: str) -> None:
    shown, _ = await show({"number": 1, **sheet}, LIVE, sheet=1)
    _, *texts = shown.split("\n\n")
    assert len(texts) == bool(sentence)
    assert "".join(texts).startswith(sentence)


async def test_empty_fields_and_field_names_of_the_api_are_not_shown() -> None:
    sheet = {
        "number": 1,
        "status": "failed",
        "attempt": 1,
        "passed_validations": [],
        "instrument_model": "large",
        "omitted": ["stdout_tail", "error_history"],
    }
    shown, _ = await show(sheet, sheet=1)
    facts, sentence = shown.split("\n\n")
    assert [line.rstrip().split(maxsplit=2) for line in facts.splitlines()][3:] == [
        ["instrument's", "model", "large"],
        ["too", "long", "to be shown  error history"],
    ]
    assert sentence == "The output is too long to be shown here.\n"


async def test_server_that_is_busy_is_asked_again() -> None:
    job = {"job_id": "nightly", "status": "failed"}
    scripted = ScriptedServer(error_response(503), answer(job))
    stream = io.StringIO()
    async with scripted.run(RetryPolicy(60, 60)) as client:
        assert await print_job(client, Output(stream, environ={}), "nightly", as_json=False) == 0
    assert len(scripted.requests) == 2
    assert scripted.messages == [
        "marianne-stream: No; trying again",
        "marianne-stream: connected again",
    ]
    assert "failed" in stream.getvalue()
