"""A conductor that repeats a recording: the same answers and events, at their times.

It must not know what they mean. Ids of requests are the asker's; all else is as recorded.
"""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from marianne_stream.demo import rpc_messages
from marianne_stream.demo.checkpoint_fields import JsonObject
from marianne_stream.demo.client_connection import method_not_found
from marianne_stream.demo.conductor_server import ConductorServer
from marianne_stream.demo.recording import Recording
from marianne_stream.demo.rpc_messages import RpcErrorResult
from marianne_stream.demo.simulated_conductor import job_not_found


class ReplayConductor(ConductorServer):
    """Answers with what was last recorded, and keeps to the last state after the end.

    Args:
        socket_path: where it listens.
        recording: what it repeats.
        speed: how many recorded seconds pass in one.
        plays_at_start: time runs from `start` on; False waits for `begin`, before which there
            are no jobs.
        max_connections: how many connections are served at once.
        shutdown_grace_s: seconds that stopping takes, even with nobody connected.
    """

    def __init__(  # noqa: PLR0913
        self,
        socket_path: Path,
        recording: Recording,
        *,
        speed: float = 1.0,
        plays_at_start: bool = True,
        max_connections: int = 5,
        shutdown_grace_s: float = 0.5,
    ) -> None:
        super().__init__(
            socket_path, max_connections=max_connections, shutdown_grace_s=shutdown_grace_s
        )
        self.recording = recording

        # Set once the last notification has been sent and the last answer holds.
        self.finished = asyncio.Event()
        self._speed = speed
        self._plays_at_start = plays_at_start
        self._play_started_s: float | None = None
        self._play_task: asyncio.Task[None] | None = None

    @property
    def position_s(self) -> float:
        """The time in the recording; below 0 before it begins."""
        if self._play_started_s is None:
            return -1.0
        return (time.monotonic() - self._play_started_s) * self._speed

    async def start(self) -> None:
        """Listen, and begin unless that is to wait."""
        await super().start()
        if self._plays_at_start and self._play_started_s is None:
            self.play()

    def play(self) -> None:
        """Let the recording's time run from 0."""
        self._play_started_s = time.monotonic()
        self._play_task = asyncio.get_running_loop().create_task(self._send_notifications())

    async def stop(self) -> None:
        """Stop as one that was asked to; events go on until every connection has gone."""
        await super().stop()
        await self._stop_playing()

    async def kill(self) -> None:
        """Go as a crashed process goes."""
        await super().kill()
        await self._stop_playing()

    def job_states(self) -> dict[str, list[JsonObject]]:
        """Give the states of each job, in order, with the recording's times."""
        return self.recording.job_states()

    def answer(self, method: str, params: Mapping[str, object]) -> object:
        """Answer with what was last recorded up to now."""
        job_id = params.get("job_id", "")
        entry = self.recording.response_at(self.position_s, method, str(job_id))
        if entry is None and method.startswith("daemon."):
            entry = self.recording.first_response(method)
        if entry is not None:
            return self._to_result(entry.message)
        if method == "job.list":
            return []
        return job_not_found(str(job_id)) if method == "job.status" else method_not_found(method)

    def _to_result(self, message: JsonObject) -> object:
        if "error" in message:
            error = message["error"]
            return RpcErrorResult(error["code"], error["message"], error.get("data"))
        result = message.get("result")
        if isinstance(result, dict) and "shutting_down" in result:
            return {**result, "shutting_down": self.is_shutting_down}
        return result

    async def _send_notifications(self) -> None:
        for entry in self.recording.notifications():
            await self._sleep_until(entry.time_s)
            self.send_event(rpc_messages.encode_line(entry.message))
        await self._sleep_until(self.recording.duration_s)
        self.finished.set()

    async def _sleep_until(self, time_s: float) -> None:
        await asyncio.sleep(max(0.0, time_s - self.position_s) / self._speed)

    async def _stop_playing(self) -> None:
        if self._play_task is not None:
            self._play_task.cancel()
            await asyncio.wait([self._play_task])
            self._play_task = None
