"""A good guest: two connections, one subscription, and gone when the host wants to close."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from marianne_stream.conductor import monitor
from marianne_stream.conductor.guest import ConductorGuest
from marianne_stream.demo.conductor import SimulatedConductor
from marianne_stream.errors import ConductorAwayError, ConductorUnavailableError
from marianne_stream.models import MonitorEvent
from tests.support.waiting import until


class Listener:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[MonitorEvent] = []
        self.said: list[str] = []

    def on_event(self, event: MonitorEvent) -> None:
        self.events.append(event)

    def on_subscribed(self) -> None:
        self.said.append("subscribed")

    def on_lost(self) -> None:
        self.said.append("lost")


@asynccontextmanager
async def visiting(
    path: Path, *, health_interval_s: float = 0.05
) -> AsyncIterator[tuple[ConductorGuest, Listener]]:
    """A guest that runs for as long as the context lasts."""
    guest = ConductorGuest(path, health_interval_s=health_interval_s)
    listener = Listener()
    task = asyncio.create_task(guest.run(listener))
    try:
        yield guest, listener
    finally:
        task.cancel()
        await asyncio.wait([task])


async def ask(guest: ConductorGuest) -> None:
    await guest.call("daemon.health", None, dict)


async def test_events_come_in_order_with_the_params_that_were_sent(
    conductor: SimulatedConductor,
) -> None:
    async with visiting(conductor.socket_path) as (_, listener):
        await until(lambda: conductor.statistics.monitor_streams_open)
        conductor.emit("a é✓", "job.started", {"sheet_count": 2})
        for number in range(50):
            conductor.emit("a é✓", "observer.file_created", {"path": f"{number}"}, number)
        await until(lambda: len(listener.events) == 51)
    first = listener.events[0]
    assert (first.job_id, first.event) == ("a é✓", "job.started")
    params = msgspec.json.decode(first.params)
    assert params["data"] == {"sheet_count": 2}
    numbers = [msgspec.json.decode(event.params)["sheet_num"] for event in listener.events[1:]]
    assert numbers == list(range(50))


async def test_two_connections_are_held_and_no_more(conductor: SimulatedConductor) -> None:
    async with visiting(conductor.socket_path) as (guest, _):
        await until(lambda: conductor.statistics.monitor_streams_open)
        await asyncio.gather(*(ask(guest) for _ in range(20)))
        assert conductor.statistics.connections_peak == 2
    await until(lambda: conductor.statistics.connections_open == 0)


async def test_a_conductor_that_is_asked_to_stop_is_let_go(conductor: SimulatedConductor) -> None:
    async with visiting(conductor.socket_path) as (guest, listener):
        await until(lambda: guest.subscribed)
        await ask(guest)
        async with asyncio.timeout(5):
            await conductor.stop()
        assert conductor.statistics.connections_open == 0
        await until(lambda: listener.said == ["subscribed", "lost"])


async def test_a_conductor_that_has_just_been_told_of_an_event_is_let_go_too(
    conductor: SimulatedConductor,
) -> None:
    async with visiting(conductor.socket_path) as (_, listener):
        await until(lambda: conductor.statistics.monitor_streams_open)
        conductor.emit("a", "job.started")
        await until(lambda: listener.events)
        async with asyncio.timeout(5):
            await conductor.stop()


async def test_a_guest_that_ends_leaves_no_half_open_stream(conductor: SimulatedConductor) -> None:
    async with visiting(conductor.socket_path):
        await until(lambda: conductor.statistics.monitor_streams_open)
    await until(lambda: conductor.statistics.connections_open == 0)
    assert conductor.statistics.monitor_streams_open == 0


async def test_a_conductor_that_comes_back_is_subscribed_to_as_soon_as_it_answers(
    conductor: SimulatedConductor,
) -> None:
    async with visiting(conductor.socket_path) as (guest, listener):
        await until(lambda: guest.subscribed)
        for _ in range(3):
            await conductor.kill()
            await until(lambda: not guest.subscribed)
            with pytest.raises(ConductorAwayError):
                await ask(guest)
            await conductor.start()
            await ask(guest)
            await until(lambda: guest.subscribed, limit_s=0.9)
        assert listener.said == ["subscribed", "lost"] * 3 + ["subscribed"]
        assert conductor.statistics.connections_peak <= 2


async def test_a_conductor_that_is_only_busy_keeps_its_subscriber(
    conductor: SimulatedConductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with visiting(conductor.socket_path, health_interval_s=60) as (guest, listener):
        await until(lambda: guest.subscribed)

        async def no_room(path: Path) -> socket.socket:
            raise ConductorUnavailableError(f"{path} has no room")

        with monkeypatch.context() as patch:
            patch.setattr("marianne_stream.conductor.rpc.connect", no_room)
            with pytest.raises(ConductorUnavailableError, match="no room"):
                await ask(guest)
        await ask(guest)
        assert listener.said == ["subscribed"]


async def test_delays_grow_against_a_conductor_that_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "GREETING_LIMIT_S", 0.01)
    monkeypatch.setattr(monitor, "GOOD_SESSION_S", 0.01)
    waited: list[float] = []

    async def pause(_self: object, delay_s: float) -> bool:
        waited.append(delay_s)
        return False

    monkeypatch.setattr(monitor.Monitor, "_pause", pause)

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    path = tmp_path / "c.sock"
    async with await asyncio.start_unix_server(say_nothing, path), visiting(path):
        await until(lambda: len(waited) >= 5)
    assert waited[4] > 8 * waited[0] > 0


async def test_an_older_conductor_without_a_monitor_is_asked_all_the_same(
    conductor: SimulatedConductor, caplog: pytest.LogCaptureFixture
) -> None:
    conductor.unknown_methods.add("daemon.monitor.stream")
    async with visiting(conductor.socket_path) as (guest, _):
        await until(lambda: "refused daemon.monitor.stream" in caplog.text)
        await ask(guest)


async def test_a_line_that_is_no_event_is_logged_and_passed_over(
    conductor: SimulatedConductor, caplog: pytest.LogCaptureFixture
) -> None:
    bad = (
        b"not json\n",
        b"[]\n",
        b'{"method":"monitor.other","params":{}}\n',
        b'{"method":"monitor.event","params":{"event":"job.started"}}\n',
        b'{"method":"monitor.event","params":[1]}\n',
        b'{"method":"monitor.event"}\n',
        b'{"method":"monitor.event","params":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
    )
    with caplog.at_level(logging.WARNING):
        async with visiting(conductor.socket_path) as (_, listener):
            await until(lambda: conductor.statistics.monitor_streams_open)
            for line in bad:
                conductor.send_event(line)
            conductor.emit("a", "job.started")
            await until(lambda: listener.events)
    assert [event.event for event in listener.events] == ["job.started"]
    assert caplog.text.count("skipped a line") == len(bad)


async def test_a_conductor_that_is_away_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with visiting(tmp_path / "nobody.sock") as (guest, _):
        await until(lambda: "there is no socket" in caplog.text)
        for _ in range(3):
            with pytest.raises(ConductorAwayError):
                await ask(guest)
    assert caplog.text.count("there is no socket") == 1
