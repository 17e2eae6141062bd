"""Tests of the logs of several jobs, and of matches with context."""

import io
import json
from collections.abc import AsyncGenerator

import pytest
from aiohttp import web

from marianne_stream.client.log_context import lines_between, print_matches
from marianne_stream.client.log_query import LogQuery
from marianne_stream.client.merged_logs import TimedEvent, find_job_ids, merge_by_time, print_logs
from marianne_stream.client.output import Output
from marianne_stream.client.sse_client import StreamEvent
from marianne_stream.errors import CliJobNotFoundError, SettingsError
from tests.support.scripted_server import (
    LOG_COMPLETE,
    ScriptedServer,
    error_response,
    make_log_frame,
    stream_response,
)


async def read(*times_s: float, job_id: str = "a") -> AsyncGenerator[TimedEvent, None]:
    for time_s in times_s:
        yield TimedEvent(time_s, job_id, StreamEvent("log", {}, ""))


async def test_events_are_merged_by_time_and_keep_the_order_of_their_job() -> None:
    sources = [read(1, 5, 4), read(2, 4, 6, job_id="b"), read()]
    merged = [(event.job_id, event.time_s) async for event in merge_by_time(sources)]
    assert merged == [("a", 1), ("b", 2), ("b", 4), ("a", 5), ("a", 4), ("b", 6)]


def roster(*job_ids: str) -> ScriptedServer:
    jobs = [{"job_id": job_id, "status": "running"} for job_id in job_ids]
    return ScriptedServer(lambda: web.json_response({"jobs": jobs, "next": None}))


async def test_patterns_stand_for_ids_of_the_roster() -> None:
    async with roster("nightly-2", "nightly-1", "weekly", "a[1]").run() as client:
        assert await find_job_ids(client, ["x", "night*", "nightly-1"]) == [
            *("x", "nightly-1", "nightly-2"),
        ]
        # An id that looks like a pattern.
        assert await find_job_ids(client, ["a[1]"]) == ["a[1]"]
        with pytest.raises(CliJobNotFoundError):
            await find_job_ids(client, ["z?"])
    async with roster(*map(str, range(101))).run() as client:
        with pytest.raises(SettingsError):
            await find_job_ids(client, ["*"])


async def test_several_logs_print_an_error_of_the_server_once() -> None:
    scripted = ScriptedServer(error_response(401))
    async with scripted.run() as client:
        output = Output(io.StringIO(), environ={})
        assert await print_logs(client, output, LogQuery("", 5), ["a", "b"], as_json=False) == 5
    assert len(scripted.messages) == 1


async def test_followed_logs_continue_after_the_past_lines() -> None:
    stream = io.StringIO()
    scripted = ScriptedServer(
        stream_response(make_log_frame(1), LOG_COMPLETE),
        stream_response(make_log_frame(1), LOG_COMPLETE),
        stream_response(make_log_frame(2), LOG_COMPLETE),
    )
    query = LogQuery("", 5, is_following=True)
    async with scripted.run() as client:
        output = Output(stream, environ={})
        assert await print_logs(client, output, query, ["a", "b"], as_json=True) == 0
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in said] == ["log", "log", *["log", "log_complete"] * 2]
    assert sorted(event["data"]["job_id"] for event in said) == ["a"] * 3 + ["b"] * 3
    assert scripted.last_event_ids[2:] == ["c-9", "c-9"]


def line(number: int, second: int | None) -> dict[str, object]:
    time = {} if second is None else {"logged_at": f"2026-11-28T12:00:{second:02}Z"}
    return {"line": f"line {number}", "line_number": number, "cursor": str(number), **time}


def test_line_without_a_time_has_that_of_an_adjacent_line() -> None:
    start_s = 1795867200.0
    lines = [line(1, 1), line(2, None), line(7, None), line(8, 5), line(9, None), line(20, None)]
    kept = lines_between(lines, start_s + 2, start_s + 9)
    assert [each["line_number"] for each in kept] == [7, 8, 9]
    kept = lines_between(lines, start_s, start_s + 3)
    assert [each["line_number"] for each in kept] == [1, 2]


async def test_matches_are_printed_in_groups() -> None:
    stream = io.StringIO()
    body = {"lines": [line(1, 1), line(2, None), line(7, 5)], "before": None}
    async with ScriptedServer(lambda: web.json_response(body)).run() as client:
        output = Output(stream, environ={})
        query = LogQuery("a", 5, regex="x", since_s=1795867200.0)
        assert await print_matches(client, output, query, 1, as_json=False) == 0
    assert stream.getvalue().splitlines() == ["line 1", "line 2", "--", "line 7"]
