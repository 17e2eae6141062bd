"""Tests of `conductor`: limits, load and waiting jobs."""

import io
from typing import Any

import pytest
from aiohttp import web

from marianne_stream.client.conductor_facts import print_conductor
from marianne_stream.client.output import Output
from tests.support.screens import Screen
from tests.support.scripted_server import ScriptedServer

CONDUCTOR = {
    "version": "0.1.0",
    "shutting_down": False,
    "accepting_work": False,
    "running_jobs": 2,
    "limits": {"connections": 5, "max_concurrent_jobs": 15, "max_concurrent_sheets": 25},
    "pressure_level": "high",
    "rate_limits": [
        {"instrument": "claude-code", "until": "2026-11-28T12:00:00Z"},
        {"instrument": "gemini-cli"},
    ],
    "memory_mb": 1184.2,
    "host_memory_available_mb": 9120.5,
    "load_averages": [0.42, 0.61, 0.55],
    "waiting": [
        {
            "job_id": "paper-boats",
            "status": "running",
            "waiting": {
                "code": "rate_limited",
                "detail": "The rate limit of claude-code is reached.",
                "until": "2026-11-28T12:00:00Z",
            },
        },
        {
            "job_id": "tide-tables",
            "status": "paused",
            "waiting": {"code": "paused", "detail": "The job is paused."},
        },
    ],
}


async def show(body: dict[str, Any], output: Output) -> list[str]:
    """Print the facts, and return what the client reported."""
    scripted = ScriptedServer(lambda: web.json_response(body))
    async with scripted.run() as client:
        assert await print_conductor(client, output, as_json=False) == 0
    return scripted.messages


async def test_limits_and_reasons_of_waits_are_shown() -> None:
    stream = io.StringIO()
    assert await show(CONDUCTOR, Output(stream, environ={})) == []
    facts = [" ".join(line.split()) for line in stream.getvalue().splitlines()]
    assert facts[:7] == [
        "version 0.1.0",
        "running jobs 2 of at most 15",
        "sheets at once 25",
        "connections 5",
        "pressure high",
        "memory 1,184 MiB, 9,120 MiB free on the host",
        "load 0.42 0.61 0.55",
    ]
    state, claude, gemini, boats, tides = facts[7:]
    assert state == "state starts no new jobs"
    assert claude.startswith("rate limit claude-code, until 2026-11-2")
    assert gemini == "rate limit gemini-cli"
    assert boats.startswith(
        "waits paper-boats: The rate limit of claude-code is reached. Until 2026-11-2"
    )
    assert tides == "waits tide-tables: The job is paused."


async def test_more_jobs_than_places_are_not_a_part_of_them() -> None:
    stream = io.StringIO()
    body = {"running_jobs": 250, "limits": {"max_concurrent_jobs": 15}}
    await show(body, Output(stream, environ={}))
    assert stream.getvalue().split(maxsplit=2)[2] == "250, all 15 places in use\n"


async def test_stop_of_the_conductor_is_shown() -> None:
    stream = io.StringIO()
    await show({"shutting_down": True, "accepting_work": False}, Output(stream, environ={}))
    assert stream.getvalue().split() == ["state", "is", "shutting", "down"]


async def test_conductor_that_tells_nothing_is_not_silent() -> None:
    stream = io.StringIO()
    messages = await show({}, Output(stream, environ={}))
    assert messages == ["marianne-stream: the conductor tells nothing of itself"]
    assert stream.getvalue().strip() == ""


@pytest.mark.parametrize("columns", [40, 80, 200])
async def test_facts_fit_the_terminal(columns: int) -> None:
    stream = Screen()
    output = Output(stream, environ={"TERM": "xterm", "NO_COLOR": "1"}, colour="never")
    output.console.width = columns
    await show(CONDUCTOR, output)
    lines = stream.getvalue().replace("\x1b[2m", "").replace("\x1b[0m", "").splitlines()
    assert max(map(len, lines)) <= columns
    words = " ".join(" ".join(lines).split())
    assert "2 of at most 15" in words
    assert "tide-tables: The job is paused." in words
