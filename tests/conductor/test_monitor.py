"""The subscription: begun only while slots are free, and closed for a stopping conductor."""

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from marianne_stream.conductor import client as client_module
from marianne_stream.conductor import monitor
from marianne_stream.conductor.client import ConductorClient
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.errors import ConductorUnreachableError
from tests.support.conductors import make_dead_slots, occupy_slots, run_client
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the delays of stop checks and retries."""
    monkeypatch.setattr(client_module, "STOP_CHECK_INTERVAL_S", 0.05)


async def request(client: ConductorClient) -> None:
    await client.call("daemon.health", None, dict)


async def test_events_arrive_in_order_with_params(
    conductor: SimulatedConductor,
) -> None:
    async with run_client(conductor.socket_path) as (_, listener):
        await wait_until(lambda: conductor.statistics.monitor_streams_open)
        conductor.emit("a é✓", "job.started", {"sheet_count": 2})
        for number in range(50):
            conductor.emit("a é✓", "observer.file_created", {"path": f"{number}"}, number)
        await wait_until(lambda: len(listener.events) == 51)
    first = listener.events[0]
    assert (first.job_id, first.event) == ("a é✓", "job.started")
    params = msgspec.json.decode(first.params)
    assert params["data"] == {"sheet_count": 2}
    numbers = [msgspec.json.decode(event.params)["sheet_num"] for event in listener.events[1:]]
    assert numbers == list(range(50))


async def test_subscription_probes_four_and_uses_two_connections(
    conductor: SimulatedConductor,
) -> None:
    async with run_client(conductor.socket_path) as (client, _):
        await wait_until(lambda: conductor.statistics.monitor_streams_open)
        await wait_until(lambda: conductor.statistics.connections_open == 1)
        assert conductor.statistics.requests["daemon.health"] == 5
        conductor.statistics.connections_peak = 0
        await asyncio.gather(*(request(client) for _ in range(20)))
        assert conductor.statistics.connections_peak == 2
        await wait_until(lambda: conductor.statistics.connections_open == 1)


@pytest.mark.parametrize(("taken", "subscribes"), [(1, True), (2, False), (4, False)])
async def test_subscription_needs_four_free_slots(
    conductor: SimulatedConductor, taken: int, *, subscribes: bool, caplog: pytest.LogCaptureFixture
) -> None:
    await make_dead_slots(conductor, taken)
    async with run_client(conductor.socket_path) as (client, listener):
        if subscribes:
            await wait_until(lambda: listener.calls == ["subscribed"])
        else:
            await wait_until(lambda: "events come by visits" in caplog.text)
            await wait_until(lambda: conductor.free_slots == 5 - taken)
            assert not client.is_subscribed
        await request(client)
    await wait_until(lambda: conductor.free_slots == 5 - taken - subscribes)


async def test_subscription_begins_when_slots_are_free_again(
    conductor: SimulatedConductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "MAX_RETRY_DELAY_S", 0.01)
    async with run_client(conductor.socket_path) as (client, _):
        await wait_until(lambda: client.is_subscribed)
    await wait_until(lambda: conductor.statistics.connections_open == 0)
    async with occupy_slots(conductor, 3), run_client(conductor.socket_path) as (client, _):
        await asyncio.sleep(0.1)
        assert not client.is_subscribed
        # The next event frees the slot of the subscription that has ended.
        conductor.emit("", "monitor.anomaly")
        await asyncio.sleep(0.1)
        assert not client.is_subscribed
    async with run_client(conductor.socket_path) as (client, _):
        await wait_until(lambda: client.is_subscribed)


async def test_stopping_conductor_not_blocked(
    conductor: SimulatedConductor, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with run_client(conductor.socket_path) as (client, listener):
            await wait_until(lambda: client.is_subscribed)
            async with asyncio.timeout(5):
                await conductor.stop()
            assert conductor.statistics.connections_open == 0
            await wait_until(lambda: listener.calls == ["subscribed", "lost"])
            for _ in range(3):
                with pytest.raises(ConductorUnreachableError):
                    await request(client)
    assert caplog.text.count("monitor closed reason=") == 1


async def test_stopping_conductor_after_event_not_blocked(
    conductor: SimulatedConductor,
) -> None:
    async with run_client(conductor.socket_path) as (_, listener):
        await wait_until(lambda: conductor.statistics.monitor_streams_open)
        conductor.emit("a", "job.started")
        await wait_until(lambda: listener.events)
        async with asyncio.timeout(5):
            await conductor.stop()


async def test_cancelled_client_leaves_no_connection(conductor: SimulatedConductor) -> None:
    async with run_client(conductor.socket_path):
        await wait_until(lambda: conductor.statistics.monitor_streams_open)
    await wait_until(lambda: conductor.statistics.connections_open == 0)
    assert conductor.free_slots == 4
    conductor.emit("", "monitor.anomaly")
    await wait_until(lambda: conductor.free_slots == 5)


async def test_returning_conductor_subscribed_at_once(
    conductor: SimulatedConductor,
) -> None:
    async with run_client(conductor.socket_path) as (client, listener):
        await wait_until(lambda: client.is_subscribed)
        for _ in range(3):
            await conductor.kill()
            await wait_until(lambda: not client.is_subscribed)
            with pytest.raises(ConductorUnreachableError):
                await request(client)
            await conductor.start()
            await request(client)
            await wait_until(lambda: client.is_subscribed, timeout_s=0.9)
        assert listener.calls == ["subscribed", "lost"] * 3 + ["subscribed"]


async def test_conductor_without_monitor_answers(
    conductor: SimulatedConductor, caplog: pytest.LogCaptureFixture
) -> None:
    conductor.faults.unknown_methods.add("daemon.monitor.stream")
    async with run_client(conductor.socket_path) as (client, _):
        await wait_until(lambda: "refused daemon.monitor.stream" in caplog.text)
        await request(client)


async def test_invalid_line_logged_and_skipped(
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
        async with run_client(conductor.socket_path) as (_, listener):
            await wait_until(lambda: conductor.statistics.monitor_streams_open)
            for line in bad:
                conductor.send_event(line)
            conductor.emit("a", "job.started")
            await wait_until(lambda: listener.events)
    assert [event.event for event in listener.events] == ["job.started"]
    assert caplog.text.count("monitor line skipped") == len(bad)


async def test_conductor_away_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with run_client(tmp_path / "nobody.sock") as (client, _):
        await wait_until(lambda: "there is no socket" in caplog.text)
        for _ in range(3):
            with pytest.raises(ConductorUnreachableError):
                await request(client)
    assert caplog.text.count("there is no socket") == 1


async def test_event_flood_does_not_block_loop(tmp_path: Path) -> None:
    event = b'{"method":"monitor.event","params":{"job_id":"a","event":"observer.x","data":null}}\n'
    flood = event * 5000

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while line := await reader.readline():
            number += 1
            if b"monitor" in line:
                break
            writer.write(b'{"id":%d,"result":{}}\n' % number)
        with suppress(ConnectionError):
            while line:
                writer.write(flood)
                await writer.drain()
        writer.close()

    path = tmp_path / "c.sock"
    async with (
        await asyncio.start_unix_server(handle, path),
        run_client(path) as (_, listener),
    ):
        await wait_until(lambda: len(listener.events) > 20_000)
        turns = 0
        began = len(listener.events)
        while len(listener.events) < began + 50_000:
            await asyncio.sleep(0)
            turns += 1
        # It was let run between every few hundred events.
        assert turns > 50
