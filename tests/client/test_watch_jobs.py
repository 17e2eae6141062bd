"""Tests of watching several jobs."""

from typing import Any

import pytest

from marianne_stream.client.api_models import WaitingBody
from marianne_stream.client.renderers import JobRenderer
from marianne_stream.client.sse_client import StreamEvent
from marianne_stream.client.watch_jobs import RosterTracker, watch_jobs
from marianne_stream.client.watched_job import WatchedJob
from tests.support.scripted_server import ScriptedServer, error_response, stream_response

RUNNING = (
    b'event: job_status\ndata: {"job_id":"a","status":"running","completed_sheets":1,'
    b'"total_sheets":2,"started_at":"1970-01-01T00:00:10Z"}\n\n'
)
FAILED = (
    b'event: job_status\ndata: {"job_id":"a","status":"failed","completed_sheets":1,'
    b'"total_sheets":2,"started_at":"1970-01-01T00:00:10Z",'
    b'"completed_at":"1970-01-01T00:00:25Z"}\n\n'
)
FINISHED = b'id: f-1\nevent: job_finished\ndata: {"job_id":"a","final_status":"failed"}\n\n'


class RecordingRenderer(JobRenderer):
    """Renderer that records jobs; without a reader, its output is closed."""

    def __init__(self, *, reader: bool = True) -> None:
        self.jobs: dict[str, str] = {}
        self.newest: WatchedJob | None = None
        self._reader = reader

    def on_event(self, event: StreamEvent) -> None:
        if not self._reader:
            raise BrokenPipeError

    def update(self, job: WatchedJob) -> None:
        self.jobs[job.job_id] = job.problem or job.status
        self.newest = job


async def test_closed_pipe_ends_all_watched_jobs() -> None:
    async with ScriptedServer(stream_response(RUNNING)).run() as server:
        with pytest.raises(BrokenPipeError):
            await watch_jobs(server, RecordingRenderer(reader=False), ["a", "b"])


async def test_common_error_is_reported_once() -> None:
    scripted = ScriptedServer(error_response(401))
    view = RecordingRenderer()
    async with scripted.run() as server:
        assert await watch_jobs(server, view, ["a", "b", "a"]) == 5
    assert view.jobs == {"a": "refused", "b": "refused"}
    assert len(scripted.requests) == 2
    assert [note.partition(";")[0] for note in scripted.messages] == [
        "marianne-stream: A token is needed"
    ]


async def test_invalid_event_data_is_reported() -> None:
    scripted = ScriptedServer(stream_response(b'event: job_status\ndata: {"status":7}\n\n'))
    async with scripted.run() as server:
        assert await watch_jobs(server, RecordingRenderer(), ["a"]) == 1
    assert "the data of job_status is invalid" in scripted.messages[0]


async def test_times_of_a_job_come_with_its_stream() -> None:
    scripted = ScriptedServer(stream_response(RUNNING, FAILED, FINISHED))
    view = RecordingRenderer()
    async with scripted.run() as server:
        assert await watch_jobs(server, view, ["a"]) == 1
    assert [request.path for request in scripted.requests] == ["/api/jobs/a/stream"]
    assert view.newest is not None
    assert view.newest.duration_s(999.0) == 15.0


async def test_roster_entry_tells_why_a_job_waits_or_has_failed() -> None:
    view = RecordingRenderer()

    def send(tracker: RosterTracker, **fields: Any) -> WatchedJob:
        data = {"complete": False, "jobs": [{"job_id": "a", **fields}], "removed": []}
        tracker.on_event(StreamEvent("roster", data, "r-1"))
        assert view.newest is not None
        return view.newest

    async with ScriptedServer(stream_response()).run() as server:
        tracker = RosterTracker(server, view)
        waiting = {"code": "person", "detail": "A person must look."}
        job = send(tracker, status="running", stalled=[2], waiting=waiting)
        assert job.stalled == [2]
        assert job.waiting == WaitingBody("A person must look.", code="person")
        job = send(tracker, status="failed", error_message="It failed")
        assert (job.error, job.stalled, job.waiting) == ("It failed", [], None)
