"""Tests of the logs of several jobs, and of matches with context."""

import io
import json
from collections.abc import AsyncGenerator, Callable, Sequence

import pytest
from aiohttp import web

from marianne_stream.client.cli_errors import CliJobNotFoundError
from marianne_stream.client.job_selection import JobSelection, select_jobs
from marianne_stream.client.log_context import lines_between, print_matches
from marianne_stream.client.log_query import LogQuery
from marianne_stream.client.merged_logs import TimedEvent, merge_by_time, print_logs
from marianne_stream.client.output import Output
from marianne_stream.client.retry import RetryPolicy
from marianne_stream.client.sse_client import StreamEvent
from marianne_stream.errors import SettingsError
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


class RosterServer(ScriptedServer):
    """Server that knows jobs, of which the first are listed."""

    def __init__(self, *job_ids: str, unlisted: Sequence[str] = ()) -> None:
        super().__init__()
        self._listed = job_ids
        self._known = {*job_ids, *unlisted}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/api/jobs":
            jobs = [{"job_id": job_id, "status": "running"} for job_id in self._listed]
            return web.json_response({"jobs": jobs, "next": None})
        job_id = request.path.removeprefix("/api/jobs/")
        return error_response(404)() if job_id not in self._known else web.json_response({})


async def test_patterns_stand_for_ids_of_the_roster() -> None:
    server = RosterServer("nightly-2", "nightly-1", "weekly", "a[1]", "b7", unlisted=["b[7]"])
    async with server.run() as client:
        found = await select_jobs(client, ["x", "night*", "nightly-1"])
        assert found.job_ids == ("x", "nightly-1", "nightly-2")
        assert not found.is_one_job
        assert [found.is_match(job_id) for job_id in ("nightly-3", "x")] == [True, False]
        with pytest.raises(CliJobNotFoundError):
            await select_jobs(client, ["x*", "z?"])


@pytest.mark.parametrize("job_id", ["a[1]", "b[7]", "x"])
async def test_id_that_looks_like_a_pattern_is_one_job(job_id: str) -> None:
    async with RosterServer("a1", "a[1]", "b7", unlisted=["b[7]"]).run() as client:
        found = await select_jobs(client, [job_id])
    assert (found.job_ids, found.is_one_job) == ((job_id,), True)


async def test_newest_jobs_are_selected_if_many_match() -> None:
    server = RosterServer(*(f"nightly-{number:03}" for number in reversed(range(120))))
    async with server.run() as client:
        found = await select_jobs(client, ["weekly", "nightly-*"])
        with pytest.raises(SettingsError):
            await select_jobs(client, [f"x{number}" for number in range(101)])
    assert found.job_ids == ("weekly", *(f"nightly-{number:03}" for number in range(21, 120)))
    assert server.messages == ["marianne-stream: 121 jobs match: the newest 100 are shown"]


AB = JobSelection(("a", "b"))


async def test_several_logs_print_an_error_of_the_server_once() -> None:
    scripted = ScriptedServer(error_response(401))
    async with scripted.run() as client:
        output = Output(io.StringIO(), environ={})
        assert await print_logs(client, output, LogQuery("", 5), AB, as_json=False) == 5
    assert len(scripted.messages) == 1


@pytest.mark.parametrize("code", ["log_not_found", "log_forbidden"])
async def test_error_of_each_log_names_its_job(code: str) -> None:
    status = {"log_not_found": 404, "log_forbidden": 403}[code]
    body = {"detail": "This job has no log, a file or b.", "code": code}
    scripted = ScriptedServer(lambda: web.json_response(body, status=status))
    async with scripted.run() as client:
        output = Output(io.StringIO(), environ={})
        await print_logs(client, output, LogQuery("", 5), AB, as_json=False)
    assert scripted.messages == [
        f"marianne-stream: {job_id}: This job has no log, a file or b" for job_id in "ab"
    ]


async def test_lines_of_the_conductors_log_are_labelled_once_a_job() -> None:
    frame = b'id: l-1\nevent: log\ndata: {"line":"x","source":"conductor"}\n\n'
    scripted = ScriptedServer(
        stream_response(frame, frame, LOG_COMPLETE),
        stream_response(make_log_frame(1), LOG_COMPLETE),
    )
    async with scripted.run() as client:
        output = Output(io.StringIO(), environ={})
        assert await print_logs(client, output, LogQuery("", 5), AB, as_json=False) == 0
    (message,) = scripted.messages
    assert message.endswith("these are its lines of the conductor's log")


async def test_followed_logs_continue_after_the_past_lines() -> None:
    stream = io.StringIO()
    past = {"a": (1, "03:00:02"), "b": (2, "03:00:01")}
    scripted = JobStreams(
        {
            job_id: [
                stream_response(make_timed_frame(number, time), LOG_COMPLETE),
                stream_response(make_timed_frame(number + 2, time), LOG_COMPLETE),
            ]
            for job_id, (number, time) in past.items()
        }
    )
    query = LogQuery("", 5, is_following=True)
    async with scripted.run() as client:
        output = Output(stream, environ={})
        assert await print_logs(client, output, query, AB, as_json=True) == 0
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [each["data"]["job_id"] for each in said[:2]] == ["b", "a"]
    for job_id, (number, _) in past.items():
        own = [each for each in said if each["data"]["job_id"] == job_id]
        assert [each["event"] for each in own] == ["log", "log", "log_complete"]
        assert [each["data"].get("line") for each in own[:2]] == [f"{number}", f"{number + 2}"]
    assert scripted.last_event_ids[2:] == ["c-9", "c-9"]


def make_timed_frame(number: int, time: str) -> bytes:
    data = {"line": str(number), "logged_at": f"2026-11-28T{time}Z"}
    return f"id: l-{number}\nevent: log\ndata: {json.dumps(data)}\n\n".encode()


class JobStreams(ScriptedServer):
    """Server with responses for the log of each job, in order."""

    def __init__(self, responses: dict[str, list[Callable[[], web.Response]]]) -> None:
        super().__init__()
        self._by_job = responses

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        return self._by_job[request.path.split("/")[3]].pop(0)()


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


async def test_matches_are_found_after_a_restart_of_the_server() -> None:
    stream = io.StringIO()
    body = {"lines": [line(1, 1)], "before": None, "source": "conductor"}
    scripted = ScriptedServer(error_response(503), lambda: web.json_response(body))
    async with scripted.run(RetryPolicy(10, 10)) as client:
        output = Output(stream, environ={})
        assert await print_matches(client, output, LogQuery("a", 5), 1, as_json=False) == 0
    assert stream.getvalue() == "line 1\n"
    assert scripted.messages[-1].endswith("these are its lines of the conductor's log")
