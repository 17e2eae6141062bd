"""Requests in short visits, over one connection at a time."""

import asyncio
import errno
import json
import socket
from pathlib import Path

import msgspec
import pytest

from marianne_stream.conductor import client as client_module
from marianne_stream.conductor.client import ConductorClient
from marianne_stream.conductor.rpc import decode_message
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.errors import (
    ConductorBusyError,
    ConductorDisconnectedError,
    ConductorProtocolError,
    ConductorResponseTooLargeError,
    ConductorRpcError,
    ConductorTimeoutError,
    ConductorUnavailableError,
    ConductorUnreachableError,
)
from tests.support.conductors import (
    occupy_slots,
    request_job_list,
    run_client,
    run_scripted_conductor,
)
from tests.support.waiting import wait_until


class Status(msgspec.Struct):
    """Fields of `daemon.health` and `daemon.status` that these tests read."""

    pid: int


def make_visiting_client(
    path: Path, *, slow_s: float = 1.0, call_limit_s: float = 10.0
) -> ConductorClient:
    return ConductorClient(
        path, events_mode="visits", slow_after_s=slow_s, call_timeout_s=call_limit_s
    )


async def request(client: ConductorClient, method: str = "daemon.status") -> int:
    return (await client.call(method, None, Status)).result.pid


async def test_visit_closed_after_answer(conductor: SimulatedConductor) -> None:
    client = make_visiting_client(conductor.socket_path)
    assert await request(client) == conductor.daemon.pid == client.pid
    await wait_until(lambda: conductor.statistics.connections_open == 0)
    assert await request(client) == conductor.daemon.pid
    assert conductor.statistics.connections_peak == 1


async def test_waiting_callers_share_visit(conductor: SimulatedConductor) -> None:
    client = make_visiting_client(conductor.socket_path)
    await asyncio.gather(*(request(client) for _ in range(50)))
    assert conductor.statistics.requests == {"daemon.health": 1, "daemon.status": 50}
    assert conductor.statistics.connections_peak == 1
    await wait_until(lambda: conductor.statistics.connections_open == 0)


async def test_error_answer_raises_with_code(conductor: SimulatedConductor) -> None:
    client = make_visiting_client(conductor.socket_path)
    with pytest.raises(ConductorRpcError, match=r"no\.such") as caught:
        await request(client, "no.such")
    assert caught.value.rpc_code == -32601
    assert await request(client)


async def test_cancelled_call_visit_closed_after_answer(
    conductor: SimulatedConductor,
) -> None:
    conductor.faults.response_delay_s["daemon.status"] = 0.1
    client = make_visiting_client(conductor.socket_path)
    call = asyncio.create_task(request(client))
    await wait_until(lambda: conductor.statistics.requests["daemon.status"])
    call.cancel()
    await asyncio.wait([call])
    assert conductor.statistics.connections_open == 1
    await wait_until(lambda: conductor.statistics.connections_open == 0)


async def test_slow_request_detached_and_others_go_on(conductor: SimulatedConductor) -> None:
    conductor.faults.response_delay_s["daemon.status"] = 0.3
    client = make_visiting_client(conductor.socket_path, slow_s=0.05)
    slow = asyncio.create_task(request(client))
    await wait_until(lambda: conductor.statistics.requests["daemon.status"])
    for _ in range(3):
        assert (await client.call("job.list", None, list)).result == []
    assert not slow.done()
    await wait_until(lambda: conductor.statistics.connections_open == 1)
    assert await slow
    await wait_until(lambda: conductor.statistics.connections_open == 0)


async def test_unanswered_method_takes_one_slot(
    conductor: SimulatedConductor,
) -> None:
    conductor.faults.unanswered.add("daemon.status")
    client = make_visiting_client(conductor.socket_path, slow_s=0.05, call_limit_s=0.1)
    with pytest.raises(ConductorTimeoutError, match=r"within 0\.1 s"):
        await request(client)
    for _ in range(5):
        with pytest.raises(
            ConductorTimeoutError, match=r"an earlier request for daemon\.status is still pending"
        ):
            await request(client)
        assert (await client.call("job.list", None, list)).result == []
    await wait_until(lambda: conductor.statistics.slots_taken == 1)


async def test_connection_with_slot_unanswered_for_long_replaced(
    conductor: SimulatedConductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    conductor.faults.unanswered.update({"daemon.status", "daemon.clients"})
    client = make_visiting_client(conductor.socket_path, slow_s=0.02, call_limit_s=0.04)
    for method in ("daemon.status", "daemon.clients"):
        with pytest.raises(ConductorTimeoutError):
            await request(client, method)
    # Both connections wait for an answer, so no request goes out.
    with pytest.raises(ConductorTimeoutError, match="has not answered for"):
        await client.call("job.list", None, list)
    monkeypatch.setattr(client_module, "PENDING_TIMEOUT_S", 0.0)
    assert (await client.call("job.list", None, list)).result == []


async def test_connection_waiting_for_slot_kept_beyond_limit_of_answers(
    conductor: SimulatedConductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PENDING_TIMEOUT_S", 0.0)
    client = make_visiting_client(conductor.socket_path, slow_s=0.02)
    async with occupy_slots(conductor, 5):
        for _ in range(2):
            with pytest.raises(ConductorBusyError):
                await request(client)
        assert conductor.statistics.connections_open == 6
    await wait_until(lambda: conductor.statistics.connections_open == 0)
    assert await request(client)


async def test_connection_waiting_for_slot_kept_as_only_one(
    conductor: SimulatedConductor,
) -> None:
    client = make_visiting_client(conductor.socket_path, slow_s=0.05)
    async with occupy_slots(conductor, 5):
        for _ in range(4):
            with pytest.raises(ConductorBusyError, match="all its slots may be taken"):
                await request(client)
        assert conductor.statistics.connections_open == 6
    await wait_until(lambda: conductor.statistics.connections_open == 0)
    assert await request(client)
    assert await request_job_list(conductor)


async def test_time_waiting_for_slot_not_counted_as_cost(
    conductor: SimulatedConductor,
) -> None:
    client = make_visiting_client(conductor.socket_path)
    async with occupy_slots(conductor, 5):
        call = asyncio.create_task(client.call("daemon.status", None, Status))
        await wait_until(lambda: conductor.statistics.connections_open == 6)
        await asyncio.sleep(0.2)
    conductor.faults.response_delay_s["daemon.status"] = 0
    assert (await call).duration_s < 0.15


async def test_queued_calls_fail_after_close(
    conductor: SimulatedConductor,
) -> None:
    conductor.faults.response_delay_s["daemon.status"] = 0.2
    async with run_client(conductor.socket_path, events_mode="visits") as (client, _):
        calls = [asyncio.create_task(request(client)) for _ in range(4)]
        await wait_until(lambda: conductor.statistics.requests["daemon.status"])
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(error, ConductorUnavailableError) for error in found)
    await wait_until(lambda: conductor.statistics.connections_open == 0)
    with pytest.raises(ConductorUnreachableError, match="stopping"):
        await request(client)


async def test_no_free_descriptor_call_fails_and_later_succeeds(
    conductor: SimulatedConductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_no_descriptor(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    client = make_visiting_client(conductor.socket_path)
    with monkeypatch.context() as patch:
        patch.setattr("marianne_stream.conductor.connect.socket.socket", raise_no_descriptor)
        with pytest.raises(ConductorUnavailableError, match="Too many open files"):
            await request(client)
    assert await request(client)


async def test_killed_conductor_fails_call_in_progress(
    conductor: SimulatedConductor,
) -> None:
    conductor.faults.unanswered.add("daemon.status")
    client = make_visiting_client(conductor.socket_path)
    call = asyncio.create_task(request(client))
    await wait_until(lambda: conductor.statistics.requests["daemon.status"])
    await conductor.kill()
    with pytest.raises(ConductorDisconnectedError):
        await call
    with pytest.raises(ConductorUnreachableError):
        await request(client)


async def test_conductor_without_health_method_answers(
    conductor: SimulatedConductor,
) -> None:
    conductor.faults.unknown_methods.add("daemon.health")
    client = make_visiting_client(conductor.socket_path)
    assert (await client.call("job.list", None, list)).result == []
    assert client.pid is None


async def test_conductor_shutting_down_visited_without_subscription(
    conductor: SimulatedConductor,
) -> None:
    async with run_client(conductor.socket_path) as (client, listener):
        await wait_until(lambda: client.is_subscribed)
        conductor.is_shutting_down = True
        assert await request(client)
        await wait_until(lambda: listener.calls == ["subscribed", "lost"])
        assert await request(client)
        await wait_until(lambda: conductor.statistics.connections_open == 0)
        conductor.is_shutting_down = False
        assert await request(client)
        await wait_until(lambda: client.is_subscribed)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (b"not json\n", ConductorProtocolError, "not JSON-RPC"),
        (b'["a list"]\n', ConductorProtocolError, "not JSON-RPC"),
        (b'{"id":2}\n', ConductorProtocolError, "neither result nor error"),
        (b'{"id":2,"result":{"pid":"x"}}\n', ConductorProtocolError, "an unexpected shape"),
        (b'{"id":2,"result":[]}\n', ConductorProtocolError, "an unexpected shape"),
        (
            b'{"id":null,"error":{"code":-32700,"message":"what?"}}\n',
            ConductorProtocolError,
            "what",
        ),
        (b'{"id":2,"res', ConductorDisconnectedError, "in the middle of an answer"),
        (b'{"id":99,"result":{"pid":1}}\n', ConductorDisconnectedError, "closed the connection"),
        (b"", ConductorDisconnectedError, "closed the connection"),
        (b'{"id":' + b"[" * 900 + b"\n", ConductorProtocolError, "not JSON-RPC"),
    ],
    ids=lambda value: value[:30] if isinstance(value, bytes) else None,
)
async def test_invalid_answer_raises_typed_error(
    tmp_path: Path, answer: bytes, error: type[Exception], message: str
) -> None:
    path = tmp_path / "c.sock"
    async with run_scripted_conductor(path, answer):
        with pytest.raises(error, match=message):
            await request(make_visiting_client(path))


async def test_deeply_nested_answer_fails_own_call_only(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    deep = b'{"id":2,"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    async with run_scripted_conductor(path, deep):
        with pytest.raises(ConductorProtocolError, match="nested too deeply"):
            await request(make_visiting_client(path))


async def test_largest_answer_read(tmp_path: Path) -> None:
    empty = len(json.dumps({"id": 2, "result": [""]}))
    text = "y" * (16 * 1024 * 1024 - empty)
    answer = json.dumps({"id": 2, "result": [text]}).encode()
    path = tmp_path / "c.sock"
    async with run_scripted_conductor(path, answer + b"\n"):
        found = (await make_visiting_client(path).call("any", None, list[str])).result
    assert found == [text]
    path = tmp_path / "d.sock"
    async with run_scripted_conductor(path, answer + b" \n"):
        with pytest.raises(ConductorResponseTooLargeError):
            await make_visiting_client(path).call("any", None, list[str])


@pytest.mark.parametrize(
    "value",
    [
        pytest.param('"' + r"\udc80" * 2_600_000 + '"', id="halves of pairs"),
        pytest.param("[" + ",".join(["NaN"] * 4_000_000) + "]", id="not numbers"),
    ],
)
async def test_repaired_answer_does_not_block_loop(value: str) -> None:
    line = b'{"id":2,"result":{"pid":7,"odd":%s}}\n' % value.encode()
    decoding = asyncio.create_task(decode_message(line))
    turns = 0
    while not decoding.done():
        await asyncio.sleep(0)
        turns += 1
    result = (await decoding).result
    assert isinstance(result, msgspec.Raw)
    assert msgspec.json.decode(result, type=Status).pid == 7
    assert turns > 10


async def test_unreachable_socket_described(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "stale"))
    reasons = {
        "missing": "there is no socket at",
        "folder": "is a directory, not a socket",
        "file": "is a file, not a socket",
        "stale": "is a socket without a listening process",
        "x" * 200: "cannot connect to",
    }
    for name, reason in reasons.items():
        with pytest.raises(ConductorUnavailableError, match=reason):
            await request(make_visiting_client(tmp_path / name))
