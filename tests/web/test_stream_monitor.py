"""Check of all open streams: its work is spread over the tick."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from marianne_stream.web import stream_monitor
from marianne_stream.web.stream_monitor import MAX_BUFFERED_BYTES, TICK_SLICES, monitor_streams


class IdleStream:
    """Open stream whose measurements are counted by step of the monitor."""

    def __init__(self, measured: list[int], buffered_bytes: int) -> None:
        self._measured = measured
        self._buffered_bytes = buffered_bytes
        self.feed = SimpleNamespace(has_heartbeats=False)
        self.grant = SimpleNamespace(is_valid=True)
        self.last_write_at = self.last_event_at = float("inf")
        self.held_bytes = 0
        self.aborted: list[str] = []

    @property
    def buffered_bytes(self) -> int:
        self._measured[-1] += 1
        return self._buffered_bytes

    def has_written(self) -> bool:
        return False

    def is_stalled(self, _now: float, _timeout_s: float) -> bool:
        return False

    def abort(self, reason: str) -> None:
        self.aborted.append(reason)


async def test_buffers_are_measured_a_slice_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = [0]
    sizes = [0] * (4 * TICK_SLICES - 2) + [MAX_BUFFERED_BYTES // 2, MAX_BUFFERED_BYTES]
    streams: Any = [IdleStream(measured, size) for size in sizes]

    async def sleep(_delay_s: float) -> None:
        if len(measured) == TICK_SLICES + 1:
            raise asyncio.CancelledError
        measured.append(0)

    monkeypatch.setattr(stream_monitor, "asyncio", SimpleNamespace(sleep=sleep))
    with pytest.raises(asyncio.CancelledError):
        await monitor_streams(streams)
    assert measured == [0, *[4] * TICK_SLICES]
    assert [stream.aborted for stream in streams[-3:]] == [[], [], ["memory_pressure"]]
