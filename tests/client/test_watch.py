"""Several jobs that are watched as one."""

import pytest

from marianne_stream.client.sse_client import StreamEvent
from marianne_stream.client.watch_jobs import watch_jobs
from marianne_stream.client.watched_job import WatchedJob
from tests.support.scripted_server import ScriptedServer, error_response, stream_response

RUNNING = b'event: job_status\ndata: {"status":"running","completed_sheets":1,"total_sheets":2}\n\n'


class Shown:
    """A view that keeps what it was shown, and whose reader may have gone."""

    needs_times = False

    def __init__(self, *, reader: bool = True) -> None:
        self.jobs: dict[str, str] = {}
        self._reader = reader

    def on_event(self, event: StreamEvent) -> None:
        if not self._reader:
            raise BrokenPipeError

    def update(self, job: WatchedJob) -> None:
        self.jobs[job.job_id] = job.problem or job.status

    def remove(self, job_id: str) -> None: ...


async def test_that_nobody_reads_ends_all_of_them_as_it_ends_one() -> None:
    async with ScriptedServer(stream_response(RUNNING)).run() as server:
        with pytest.raises(BrokenPipeError):
            await watch_jobs(server, Shown(reader=False), ["a", "b"])


async def test_what_all_fail_of_is_said_once() -> None:
    told = ScriptedServer(error_response(401))
    view = Shown()
    async with told.run() as server:
        assert await watch_jobs(server, view, ["a", "b", "a"]) == 5
    assert view.jobs == {"a": "refused", "b": "refused"}
    assert len(told.requests) == 2
    assert [note.partition(";")[0] for note in told.messages] == [
        "marianne-stream: A token is needed"
    ]


async def test_data_that_cannot_be_used_is_a_sentence_and_no_fault_of_ours() -> None:
    told = ScriptedServer(stream_response(b'event: job_status\ndata: {"status":7}\n\n'))
    async with told.run() as server:
        assert await watch_jobs(server, Shown(), ["a"]) == 1
    assert "the data of job_status cannot be used" in told.messages[0]
