"""Conductor that replays a recording: the same responses and events, as if they happened now."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marianne_stream.demo import rpc_messages
from marianne_stream.demo.checkpoint_fields import JsonObject
from marianne_stream.demo.conductor_server import ConductorServer
from marianne_stream.demo.recording import Recording
from marianne_stream.demo.replay_clock import ReplayClock, find_recording_start
from marianne_stream.demo.rpc_messages import RpcErrorResult, method_not_found
from marianne_stream.demo.simulated_conductor import job_not_found


class ReplayConductor(ConductorServer):
    """Answers with the last recorded response, also after the end of the recording.

    `speed` is in recorded seconds per second. Unless it `plays_at_start`, call `play`, before which
    there are no jobs. The times in all messages are converted to the time of playing.
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

        # Set after the last notification.
        self.finished = asyncio.Event()
        self._speed = speed
        self._plays_at_start = plays_at_start
        self._recorded_at = find_recording_start(recording)
        self._played_at: float | None = None
        self._clock: ReplayClock | None = None
        self._play_started_s: float | None = None
        self._play_task: asyncio.Task[None] | None = None

    @property
    def position_s(self) -> float:
        """Return the time in the recording; negative before the start."""
        if self._play_started_s is None:
            return -1.0
        return (time.monotonic() - self._play_started_s) * self._speed

    def to_clock(self, time_s: float) -> float:
        """Convert a time of the recording to the time at which it is played, in epoch seconds.

        Raises:
            RuntimeError: playing has not started.
        """
        if self._played_at is None:
            raise RuntimeError("the recording is not played yet")
        return self._played_at + time_s / self._speed

    async def wait_position(self, time_s: float) -> None:
        """Wait until a time of the recording is played."""
        await asyncio.sleep(max(0.0, time_s - self.position_s) / self._speed)

    async def start(self) -> None:
        """Start to listen and, unless `plays_at_start` is False, to play."""
        await super().start()
        if self._plays_at_start and self._play_started_s is None:
            self.play()

    def play(self) -> None:
        """Start to play."""
        self._play_started_s, self._played_at = time.monotonic(), time.time()
        if self._recorded_at is not None:
            self._clock = ReplayClock(self._recorded_at, self._played_at, self._speed)
        self._play_task = asyncio.get_running_loop().create_task(self._send_notifications())

    async def stop(self) -> None:
        """Stop gracefully; events continue until every connection has gone."""
        await super().stop()
        await self._stop_playing()

    async def kill(self) -> None:
        """Stop as after a crash."""
        await super().kill()
        await self._stop_playing()

    def answer(self, method: str, params: Mapping[str, object]) -> object:
        """Answer with the last response recorded up to now."""
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
        result = self._convert_times(message.get("result"))
        if isinstance(result, dict) and "shutting_down" in result:
            return {**result, "shutting_down": self.is_shutting_down}
        return result

    def _convert_times(self, value: Any) -> Any:
        return value if self._clock is None else self._clock.convert(value)

    async def _send_notifications(self) -> None:
        for entry in self.recording.notifications():
            await self.wait_position(entry.time_s)
            self.send_event(rpc_messages.encode_line(self._convert_times(entry.message)))
        await self.wait_position(self.recording.duration_s)
        self.finished.set()

    async def _stop_playing(self) -> None:
        if self._play_task is not None:
            self._play_task.cancel()
            await asyncio.wait([self._play_task])
            self._play_task = None
