"""Tests of `show`: facts of a job and of a sheet."""

import io
from typing import Any

import msgspec
from aiohttp import web

from marianne_stream.client.api_models import JobDetailBody
from marianne_stream.client.job_view import job_facts, print_job, print_runs
from marianne_stream.client.output import Output
from marianne_stream.client.sheet_view import print_sheet
from tests.support.scripted_server import ScriptedServer

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
