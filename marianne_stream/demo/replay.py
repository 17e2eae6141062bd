"""A conductor that repeats a recording: the same answers and events, at their times.

It must not know what they mean. Ids of requests are the asker's; all else is as recorded.
"""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from marianne_stream.demo import jsonrpc
from marianne_stream.demo.checkpoint import Fields
from marianne_stream.demo.conductor import not_found
from marianne_stream.demo.connection import unknown_method
from marianne_stream.demo.jsonrpc import Refusal
from marianne_stream.demo.recording import Recording
from marianne_stream.demo.server import ConductorServer


class Replay(ConductorServer):
    """Answers with what was last recorded, and keeps to the last state after the end.

    Args:
        socket_path: where it listens.
        recording: what it repeats.
        speed: how many recorded seconds pass in one.
        begin_at_start: time runs from `start` on; False waits for `begin`, before which there
            are no jobs.
        connections: how many connections are served at once.
        shutdown_grace_s: seconds that stopping takes, even with nobody connected.
    """

    def __init__(  # noqa: PLR0913
        self,
        socket_path: Path,
        recording: Recording,
        *,
        speed: float = 1.0,
        begin_at_start: bool = True,
        connections: int = 5,
        shutdown_grace_s: float = 0.5,
    ) -> None:
        super().__init__(socket_path, connections=connections, shutdown_grace_s=shutdown_grace_s)
        self.recording = recording

        # Set once the last notification has been sent and the last answer holds.
        self.ended = asyncio.Event()
        self._speed = speed
        self._begin_at_start = begin_at_start
        self._begun_at: float | None = None
        self._playing: asyncio.Task[None] | None = None

    @property
    def position_s(self) -> float:
        """The time in the recording; below 0 before it begins."""
        if self._begun_at is None:
            return -1.0
        return (time.monotonic() - self._begun_at) * self._speed

    async def start(self) -> None:
        """Listen, and begin unless that is to wait."""
        await super().start()
        if self._begin_at_start and self._begun_at is None:
            self.begin()

    def begin(self) -> None:
        """Let the recording's time run from 0."""
        self._begun_at = time.monotonic()
        self._playing = asyncio.get_running_loop().create_task(self._play())

    async def stop(self) -> None:
        """Stop as one that was asked to; events go on until every connection has gone."""
        await super().stop()
        await self._end()

    async def kill(self) -> None:
        """Go as a crashed process goes."""
        await super().kill()
        await self._end()

    def truth(self) -> dict[str, list[Fields]]:
        """Give the states of each job, in order, with the recording's times."""
        return self.recording.truth()

    def answer(self, method: str, params: Mapping[str, object]) -> object:
        """Answer with what was last recorded up to now."""
        job_id = params.get("job_id", "")
        entry = self.recording.answer_at(self.position_s, method, str(job_id))
        if entry is None and method.startswith("daemon."):
            entry = self.recording.first_answer(method)
        if entry is not None:
            return self._recorded(entry.message)
        if method == "job.list":
            return []
        return not_found(str(job_id)) if method == "job.status" else unknown_method(method)

    def _recorded(self, message: Fields) -> object:
        if "error" in message:
            error = message["error"]
            return Refusal(error["code"], error["message"], error.get("data"))
        result = message.get("result")
        if isinstance(result, dict) and "shutting_down" in result:
            return {**result, "shutting_down": self.shutting_down}
        return result

    async def _play(self) -> None:
        for entry in self.recording.notifications():
            await self._until(entry.time_s)
            self.send_event(jsonrpc.encode(entry.message))
        await self._until(self.recording.duration_s)
        self.ended.set()

    async def _until(self, time_s: float) -> None:
        await asyncio.sleep(max(0.0, time_s - self.position_s) / self._speed)

    async def _end(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
            await asyncio.wait([self._playing])
            self._playing = None
