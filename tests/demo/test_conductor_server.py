"""Tests of the simulated conductor's socket, which behaves as the real one was observed to."""

import asyncio
import gc
import json
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.waiting import wait_until

Connect = Callable[[], Awaitable[Any]]


async def open_stream(conductor: SimulatedConductor, connect: Connect) -> Any:
    """Connect, subscribe, and wait for the subscription."""
    wanted = conductor.statistics.monitor_streams_open + 1
    client = await connect()
    await client.send("daemon.monitor.stream")
    await wait_until(lambda: conductor.statistics.monitor_streams_open == wanted)
    return client


async def test_requests_of_one_connection_are_answered_in_order(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    conductor.faults.response_delay_s["job.list"] = 0.02
    client = await connect()
    request_ids = [await client.send("job.list"), await client.send("daemon.health")]
    assert [(await client.read_message())["id"] for _ in request_ids] == request_ids


async def test_sixth_connection_waits_for_a_slot(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    served = [await connect() for _ in range(5)]
    for client in served:
        await client.call("daemon.health")
    sixth = await connect()
    await sixth.send("daemon.health")
    assert await sixth.is_silent()
    assert conductor.statistics.connections_peak == 6
    await served[2].close()
    assert (await sixth.read_message())["result"]["status"] == "ok"


async def test_closed_monitor_stream_keeps_slot_until_next_event(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    for _ in range(5):
        await (await open_stream(conductor, connect)).close()
    sixth = await connect()
    await sixth.send("daemon.health")
    assert await sixth.is_silent()
    assert conductor.statistics.connections_open == 6
    assert conductor.free_slots == 0
    conductor.emit("", "monitor.anomaly")
    assert (await sixth.read_message())["result"]["status"] == "ok"
    assert conductor.statistics.monitor_streams_open == 0
    assert conductor.free_slots == 4


async def test_reset_monitor_stream_keeps_slot_but_does_not_delay_stop(
    conductor: SimulatedConductor,
) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(0)
        client.connect(str(conductor.socket_path))
        health = b'{"jsonrpc":"2.0","method":"daemon.health","params":{},"id":1}\n'
        await loop.sock_sendall(client, health + health.replace(b"health", b"monitor.stream"))
        await wait_until(lambda: conductor.statistics.monitor_streams_open == 1)
        assert await loop.sock_recv(client, 1) == b"{"
    await wait_until(lambda: conductor.statistics.connections_open == 0)
    assert conductor.free_slots == 4
    await asyncio.wait_for(conductor.stop(), 1)
    assert conductor.free_slots == 5


async def test_client_that_left_while_waiting_still_gets_a_slot(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    served = [await connect() for _ in range(5)]
    for client in served:
        await client.call("daemon.health")
    gone, patient = await connect(), await connect()
    for client in (gone, patient):
        await client.send("job.list")
    await gone.close()
    assert await patient.is_silent()
    assert conductor.statistics.connections_open == 7
    await served[0].close()
    assert (await patient.read_message())["result"] == []
    assert conductor.statistics.requests["job.list"] == 2
    assert conductor.free_slots == 0


async def test_stop_waits_for_client_that_left_without_slot(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    for _ in range(5):
        await (await open_stream(conductor, connect)).close()
    queued = await connect()
    await queued.send("job.list")
    await queued.close()
    stopping = asyncio.create_task(conductor.stop())
    assert not (await asyncio.wait([stopping], timeout=0.1))[0]
    conductor.emit("", "monitor.anomaly")
    await asyncio.wait_for(stopping, 1)


@pytest.mark.parametrize("what", ["pause", "resume", "cancel", "dispatch", "complete_sheet"])
async def test_events_are_job_starts_and_ends(conductor: SimulatedConductor, what: str) -> None:
    conductor.launch("quiet", 2)
    conductor.dispatch("quiet", 1)
    sent: list[bytes] = []
    conductor.send_event = sent.append  # type: ignore[method-assign,assignment]
    arguments = {"dispatch": (2,), "complete_sheet": (1,)}.get(what, ())
    getattr(conductor, what)("quiet", *arguments)
    events = [json.loads(line)["params"]["event"] for line in sent]
    assert events == (["job.resuming"] if what == "resume" else [])


async def test_full_event_queue_drops_new_events(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    client = await open_stream(conductor, connect)
    for number in range(130):
        conductor.emit("fan", "observer.file_created", {"path": f"out-{number}.txt"})
    await wait_until(lambda: conductor.statistics.events_sent == 100)
    arrived = [(await client.read_message())["params"]["data"]["path"] for _ in range(100)]
    assert arrived == [f"out-{number}.txt" for number in range(100)]
    assert await client.is_silent()
    assert conductor.statistics.events_dropped == 30


async def test_subscription_has_no_history(conductor: SimulatedConductor, connect: Connect) -> None:
    conductor.emit("fan", "job.started")
    client = await open_stream(conductor, connect)
    conductor.emit("fan", "job.completed", None)
    event = await client.read_message()
    assert event["method"] == "monitor.event"
    assert event["params"] == {
        "job_id": "fan",
        "sheet_num": 0,
        "event": "job.completed",
        "data": None,
        "timestamp": event["params"]["timestamp"],
    }


async def test_stop_refuses_new_and_serves_open_connections(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    client = await connect()
    assert (await client.call("daemon.health"))["shutting_down"] is False
    stopping = asyncio.create_task(conductor.stop())
    await wait_until(lambda: conductor.is_shutting_down)
    assert (await client.call("daemon.health"))["shutting_down"] is True
    with pytest.raises(ConnectionRefusedError):
        await connect()
    assert not stopping.done()
    await client.close()
    await asyncio.wait_for(stopping, 1)
    assert not conductor.socket_path.exists()


async def test_stop_waits_for_stream_closed_by_client(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    await (await open_stream(conductor, connect)).close()
    stopping = asyncio.create_task(conductor.stop())
    assert not (await asyncio.wait([stopping], timeout=0.1))[0]
    conductor.emit("", "monitor.anomaly")
    await asyncio.wait_for(stopping, 1)


async def test_killed_conductor_leaves_socket_file_and_restarts(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    client = await open_stream(conductor, connect)
    await conductor.kill()
    assert await client.reader.read() == b""
    assert conductor.socket_path.is_socket()
    with pytest.raises(ConnectionRefusedError):
        await connect()
    await conductor.start()
    assert stat.S_IMODE(conductor.socket_path.stat().st_mode) == 0o660
    assert (await (await connect()).call("daemon.health"))["shutting_down"] is False


async def test_second_conductor_is_refused_and_other_file_kept(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="another conductor listens there"):
        await SimulatedConductor(conductor.socket_path).start()
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(OSError, match="in use"):
        await SimulatedConductor(tmp_path / "notes").start()
    assert (tmp_path / "notes").read_text() == "mine"


async def test_stop_keeps_socket_file_of_later_conductor(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    client = await connect()
    await client.call("daemon.health")
    stopping = asyncio.create_task(conductor.stop())
    await wait_until(lambda: conductor.is_shutting_down)
    successor = SimulatedConductor(conductor.socket_path)
    await successor.start()
    await client.close()
    await stopping
    assert conductor.socket_path.is_socket()
    await successor.kill()


@pytest.mark.parametrize(
    ("line", "code", "answered_id"),
    [
        (b"no json", -32700, None),
        (b"\xff", -32700, None),
        (b"[]", -32600, None),
        (b'{"id":7}', -32600, 7),
        (b'{"id":7,"method":"job.list","params":[]}', -32602, 7),
        (b'{"id":7,"method":"job.status","params":{}}', -32602, 7),
        (b'{"id":7,"method":"no.such"}', -32601, 7),
    ],
)
async def test_invalid_request_gets_its_error_code(
    connect: Connect, line: bytes, code: int, answered_id: int | None
) -> None:
    client = await connect()
    client.writer.write(line + b"\n")
    answer = await client.read_message()
    assert (answer["error"]["code"], answer["id"]) == (code, answered_id)


async def test_message_above_16_mib_closes_the_connection(
    connect: Connect,
) -> None:
    client = await connect()
    client.writer.write(b" " * (16 * 1024 * 1024 + 1) + b"\n")
    assert (await client.read_message())["error"]["code"] == -32700
    assert await client.reader.read() == b""


async def test_faults_are_injected(conductor: SimulatedConductor, connect: Connect) -> None:
    conductor.faults.unknown_methods.add("job.list")
    conductor.faults.raw_responses["job.status"] = b'{"half":'
    conductor.faults.unanswered.add("daemon.status")
    conductor.faults.close_after.add("daemon.config")
    client = await connect()
    assert (await client.call_error("job.list"))["code"] == -32601
    await client.call("daemon.config")
    assert await client.reader.read() == b""
    client = await connect()
    await client.send("job.status", job_id="fan")
    assert await client.reader.readexactly(8) == b'{"half":'
    await client.send("daemon.status")
    await client.send("daemon.health")
    assert await client.is_silent()
    methods = [method for _, method, _ in conductor.statistics.request_log]
    assert methods == ["job.list", "daemon.config", "job.status", "daemon.status"]
    assert conductor.statistics.request_log[2][2] == "fan"


async def test_delayed_response_has_state_before_delay(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    conductor.faults.response_delay_s["job.list"] = 0.05
    client = await connect()
    await client.send("job.list")
    await wait_until(lambda: conductor.statistics.requests["job.list"] == 1)
    conductor.submit("late")
    assert (await client.read_message())["result"] == []


async def test_non_utf8_job_id_is_lone_surrogate(
    conductor: SimulatedConductor, connect: Connect
) -> None:
    job_id = b"caf\xe9 \xc3\xa9".decode("utf-8", "surrogateescape")
    conductor.launch(job_id, sheets=1)
    client = await connect()
    await client.send("job.status", job_id=job_id)
    line = await client.reader.readline()
    assert b"caf\\udce9 \\u00e9" in line
    assert json.loads(line)["result"]["job_id"] == job_id


@pytest.mark.parametrize("iterations", range(4))
async def test_connection_that_was_accepted_just_before_the_end_is_closed(
    tmp_path: Path, iterations: int
) -> None:
    conductor = SimulatedConductor(tmp_path / "c.sock")
    await conductor.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(0)
        client.connect(str(conductor.socket_path))
        for _ in range(iterations):
            await asyncio.sleep(0)
        await conductor.kill()
        # A transport that nobody closed is a warning, and so an error.
        gc.collect()
