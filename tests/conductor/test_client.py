"""Requests in short visits: one connection at a time, closed at once, never given up in a queue."""

import asyncio
import errno
import json
import socket
from pathlib import Path

import msgspec
import pytest

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
    """The part of `daemon.health` and `daemon.status` that these tests read."""

    pid: int


def visits_only(path: Path, *, slow_s: float = 1.0, call_limit_s: float = 10.0) -> ConductorClient:
    return ConductorClient(
        path, events_mode="visits", slow_after_s=slow_s, call_timeout_s=call_limit_s
    )


async def ask(client: ConductorClient, method: str = "daemon.status") -> int:
    return (await client.call(method, None, Status)).result.pid


async def test_a_visit_ends_with_its_answer(conductor: SimulatedConductor) -> None:
    client = visits_only(conductor.socket_path)
    assert await ask(client) == conductor.daemon.pid == client.pid
    await wait_until(lambda: conductor.statistics.connections_open == 0)
    assert await ask(client) == conductor.daemon.pid
    assert conductor.statistics.connections_peak == 1


async def test_callers_that_wait_share_a_visit(conductor: SimulatedConductor) -> None:
    client = visits_only(conductor.socket_path)
    await asyncio.gather(*(ask(client) for _ in range(50)))
    assert conductor.statistics.requests == {"daemon.health": 1, "daemon.status": 50}
    assert conductor.statistics.connections_peak == 1
    await wait_until(lambda: conductor.statistics.connections_open == 0)


async def test_a_refusal_is_an_error_with_its_code(conductor: SimulatedConductor) -> None:
    client = visits_only(conductor.socket_path)
    with pytest.raises(ConductorRpcError, match=r"no\.such") as caught:
        await ask(client, "no.such")
    assert caught.value.rpc_code == -32601
    assert await ask(client)


async def test_a_cancelled_call_ends_its_visit_when_the_answer_has_come(
    conductor: SimulatedConductor,
) -> None:
    conductor.response_delay_s["daemon.status"] = 0.1
    client = visits_only(conductor.socket_path)
    call = asyncio.create_task(ask(client))
    await wait_until(lambda: conductor.statistics.requests["daemon.status"])
    call.cancel()
    await asyncio.wait([call])
    assert conductor.statistics.connections_open == 1
    await wait_until(lambda: conductor.statistics.connections_open == 0)


async def test_a_slow_request_is_set_aside_and_others_go_on(conductor: SimulatedConductor) -> None:
    conductor.response_delay_s["daemon.status"] = 0.3
    client = visits_only(conductor.socket_path, slow_s=0.05)
    slow = asyncio.create_task(ask(client))
    await wait_until(lambda: conductor.statistics.requests["daemon.status"])
    for _ in range(3):
        assert (await client.call("job.list", None, list)).result == []
    assert not slow.done()
    await wait_until(lambda: conductor.statistics.connections_open == 1)
    assert await slow
    await wait_until(lambda: conductor.statistics.connections_open == 0)


async def test_a_method_that_is_never_answered_takes_one_slot_and_stops_no_other(
    conductor: SimulatedConductor,
) -> None:
    conductor.unanswered.add("daemon.status")
    client = visits_only(conductor.socket_path, slow_s=0.05, call_limit_s=0.1)
    with pytest.raises(ConductorTimeoutError, match=r"within 0\.1 s"):
        await ask(client)
    for _ in range(5):
        with pytest.raises(
            ConductorTimeoutError, match=r"an earlier request for daemon\.status is still pending"
        ):
            await ask(client)
        assert (await client.call("job.list", None, list)).result == []
    await wait_until(lambda: conductor.statistics.slots_taken == 1)


async def test_a_connection_that_waits_for_a_slot_is_kept_and_is_the_only_one(
    conductor: SimulatedConductor,
) -> None:
    client = visits_only(conductor.socket_path, slow_s=0.05)
    async with occupy_slots(conductor, 5):
        for _ in range(4):
            with pytest.raises(ConductorBusyError, match="all its slots may be taken"):
                await ask(client)
        assert conductor.statistics.connections_open == 6
    await wait_until(lambda: conductor.statistics.connections_open == 0)
    assert await ask(client)
    assert await request_job_list(conductor)


async def test_time_in_the_queue_for_a_slot_is_not_taken_for_the_cost_of_an_answer(
    conductor: SimulatedConductor,
) -> None:
    client = visits_only(conductor.socket_path)
    async with occupy_slots(conductor, 5):
        call = asyncio.create_task(client.call("daemon.status", None, Status))
        await wait_until(lambda: conductor.statistics.connections_open == 6)
        await asyncio.sleep(0.2)
    conductor.response_delay_s["daemon.status"] = 0
    assert (await call).duration_s < 0.15


async def test_calls_in_a_queue_fail_once_the_client_is_closed(
    conductor: SimulatedConductor,
) -> None:
    conductor.response_delay_s["daemon.status"] = 0.2
    async with run_client(conductor.socket_path, events_mode="visits") as (client, _):
        calls = [asyncio.create_task(ask(client)) for _ in range(4)]
        await wait_until(lambda: conductor.statistics.requests["daemon.status"])
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(error, ConductorUnavailableError) for error in found)
    await wait_until(lambda: conductor.statistics.connections_open == 0)
    with pytest.raises(ConductorUnreachableError, match="stopping"):
        await ask(client)


async def test_without_a_descriptor_left_a_call_fails_and_a_later_one_succeeds(
    conductor: SimulatedConductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    client = visits_only(conductor.socket_path)
    with monkeypatch.context() as patch:
        patch.setattr("marianne_stream.conductor.connect.socket.socket", none_left)
        with pytest.raises(ConductorUnavailableError, match="Too many open files"):
            await ask(client)
    assert await ask(client)


async def test_a_conductor_that_dies_fails_the_call_in_progress(
    conductor: SimulatedConductor,
) -> None:
    conductor.unanswered.add("daemon.status")
    client = visits_only(conductor.socket_path)
    call = asyncio.create_task(ask(client))
    await wait_until(lambda: conductor.statistics.requests["daemon.status"])
    await conductor.kill()
    with pytest.raises(ConductorDisconnectedError):
        await call
    with pytest.raises(ConductorUnreachableError):
        await ask(client)


async def test_a_conductor_without_health_is_asked_all_the_same(
    conductor: SimulatedConductor,
) -> None:
    conductor.unknown_methods.add("daemon.health")
    client = visits_only(conductor.socket_path)
    assert (await client.call("job.list", None, list)).result == []
    assert client.pid is None


async def test_a_conductor_that_is_shutting_down_is_visited_and_not_subscribed_to(
    conductor: SimulatedConductor,
) -> None:
    async with run_client(conductor.socket_path) as (client, listener):
        await wait_until(lambda: client.is_subscribed)
        conductor.is_shutting_down = True
        assert await ask(client)
        await wait_until(lambda: listener.calls == ["subscribed", "lost"])
        assert await ask(client)
        await wait_until(lambda: conductor.statistics.connections_open == 0)
        conductor.is_shutting_down = False
        assert await ask(client)
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
async def test_what_is_no_answer_is_a_typed_error(
    tmp_path: Path, answer: bytes, error: type[Exception], message: str
) -> None:
    path = tmp_path / "c.sock"
    async with run_scripted_conductor(path, answer):
        with pytest.raises(error, match=message):
            await ask(visits_only(path))


async def test_an_answer_that_is_nested_too_deeply_costs_only_its_call(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    deep = b'{"id":2,"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    async with run_scripted_conductor(path, deep):
        with pytest.raises(ConductorProtocolError, match="nested too deeply"):
            await ask(visits_only(path))


async def test_an_answer_of_the_largest_size_is_read(tmp_path: Path) -> None:
    empty = len(json.dumps({"id": 2, "result": [""]}))
    text = "y" * (16 * 1024 * 1024 - empty)
    answer = json.dumps({"id": 2, "result": [text]}).encode()
    path = tmp_path / "c.sock"
    async with run_scripted_conductor(path, answer + b"\n"):
        found = (await visits_only(path).call("any", None, list[str])).result
    assert found == [text]
    path = tmp_path / "d.sock"
    async with run_scripted_conductor(path, answer + b" \n"):
        with pytest.raises(ConductorResponseTooLargeError):
            await visits_only(path).call("any", None, list[str])


@pytest.mark.parametrize(
    "value",
    [
        pytest.param('"' + r"\udc80" * 2_600_000 + '"', id="halves of pairs"),
        pytest.param("[" + ",".join(["NaN"] * 4_000_000) + "]", id="not numbers"),
    ],
)
async def test_an_answer_that_has_to_be_mended_leaves_the_loop_to_others(value: str) -> None:
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


async def test_nobody_at_the_socket_is_said_in_words(tmp_path: Path) -> None:
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
            await ask(visits_only(tmp_path / name))
