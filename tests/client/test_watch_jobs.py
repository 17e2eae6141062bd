"""Tests of watching several jobs."""

import pytest

from marianne_stream.client.renderers import JobRenderer
from marianne_stream.client.sse_client import StreamEvent
from marianne_stream.client.watch_jobs import watch_jobs
from marianne_stream.client.watched_job import WatchedJob
from tests.support.scripted_server import ScriptedServer, error_response, stream_response

RUNNING = b'event: job_status\ndata: {"status":"running","completed_sheets":1,"total_sheets":2}\n\n'


class RecordingRenderer(JobRenderer):
    """Renderer that records jobs; without a reader, its output is closed."""

    def __init__(self, *, reader: bool = True) -> None:
        self.jobs: dict[str, str] = {}
        self._reader = reader

    def on_event(self, event: StreamEvent) -> None:
        if not self._reader:
            raise BrokenPipeError

    def update(self, job: WatchedJob) -> None:
        self.jobs[job.job_id] = job.problem or job.status


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
