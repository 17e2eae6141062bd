"""One connection for all requests: matched by id, bounded in time and size, never dead."""

import asyncio
import errno
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from marianne_stream.conductor.rpc import RequestConnection
from marianne_stream.demo.conductor import SimulatedConductor
from marianne_stream.errors import (
    AnswerTooLargeError,
    ConductorAwayError,
    ConductorLostError,
    ConductorProtocolError,
    ConductorRefusedError,
    ConductorTimeoutError,
    ConductorUnavailableError,
)
from tests.support.waiting import until

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Health(msgspec.Struct):
    """What these tests read of `daemon.health`."""

    status: str


@asynccontextmanager
async def connection(path: Path, **options: Any) -> AsyncIterator[RequestConnection]:
    """A request connection that is closed at the end."""
    requests = RequestConnection(path, **options)
    try:
        yield requests
    finally:
        await requests.close()


@asynccontextmanager
async def scripted(path: Path, *answers: bytes) -> AsyncIterator[None]:
    """A conductor that gives these bytes, one for each line that it gets, and then hangs up."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readline()
            writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(handle, path):
        yield


async def test_an_answer_is_read_as_its_type(conductor: SimulatedConductor) -> None:
    async with connection(conductor.socket_path) as requests:
        assert (await requests.call("daemon.health", None, Health)).status == "ok"


async def test_all_calls_share_one_connection(conductor: SimulatedConductor) -> None:
    async with connection(conductor.socket_path) as requests:
        calls = [requests.call("daemon.health", None, Health) for _ in range(50)]
        assert all(health.status == "ok" for health in await asyncio.gather(*calls))
        assert conductor.statistics.connections_peak == 1


async def test_a_refusal_is_an_error_with_its_code(conductor: SimulatedConductor) -> None:
    async with connection(conductor.socket_path) as requests:
        with pytest.raises(ConductorRefusedError, match=r"no\.such") as caught:
            await requests.call("no.such", None, Health)
        assert caught.value.number == -32601
        assert (await requests.call("daemon.health", None, Health)).status == "ok"


async def test_a_late_answer_is_dropped_and_the_next_call_gets_its_own(
    conductor: SimulatedConductor,
) -> None:
    conductor.delay_s["daemon.status"] = 0.2
    async with connection(conductor.socket_path, call_limit_s=0.05) as requests:
        with pytest.raises(ConductorTimeoutError, match=r"within 0\.05 s"):
            await requests.call("daemon.status", None, dict)
        with pytest.raises(ConductorTimeoutError, match="owed an answer"):
            await requests.call("daemon.health", None, Health)
        await asyncio.sleep(0.2)
        assert (await requests.call("daemon.health", None, Health)).status == "ok"
        assert conductor.statistics.connections_peak == 1


async def test_a_cancelled_call_leaves_the_connection_usable(conductor: SimulatedConductor) -> None:
    conductor.delay_s["daemon.status"] = 0.1
    async with connection(conductor.socket_path) as requests:
        call = asyncio.create_task(requests.call("daemon.status", None, dict))
        await until(lambda: conductor.statistics.requests["daemon.status"])
        call.cancel()
        await asyncio.wait([call])
        assert (await requests.call("daemon.health", None, Health)).status == "ok"
        assert conductor.statistics.connections_peak == 1


async def test_an_idle_connection_is_closed_and_opened_again(
    conductor: SimulatedConductor,
) -> None:
    async with connection(conductor.socket_path, idle_limit_s=0.05) as requests:
        await requests.call("daemon.health", None, Health)
        await until(lambda: conductor.statistics.connections_open == 0)
        assert not requests.is_open
        assert (await requests.call("daemon.health", None, Health)).status == "ok"


async def test_a_connection_that_is_waited_on_is_not_idle(conductor: SimulatedConductor) -> None:
    async with connection(conductor.socket_path, idle_limit_s=0.1) as requests:
        await requests.call("daemon.health", None, Health)
        conductor.delay_s["daemon.health"] = 0.3
        assert (await requests.call("daemon.health", None, Health)).status == "ok"
        await until(lambda: conductor.statistics.connections_open == 0)


async def test_an_answer_that_is_nested_too_deeply_costs_only_its_call(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    deep = b'{"id":1,"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    good = b'{"id":2,"result":{"status":"ok"}}\n'
    async with scripted(path, deep, good), connection(path) as requests:
        with pytest.raises(ConductorProtocolError, match="nested too deeply"):
            await requests.call("daemon.health", None, Health)
        assert (await requests.call("daemon.health", None, Health)).status == "ok"


async def test_calls_in_a_queue_connect_no_more_once_the_place_was_given_back_for_good(
    conductor: SimulatedConductor,
) -> None:
    conductor.delay_s["daemon.health"] = 0.2
    requests = RequestConnection(conductor.socket_path)
    calls = [asyncio.create_task(requests.call("daemon.health", None, Health)) for _ in range(4)]
    await until(lambda: conductor.statistics.requests["daemon.health"])
    await requests.leave()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(error, ConductorUnavailableError) for error in found)
    await until(lambda: conductor.statistics.connections_open == 0)
    with pytest.raises(ConductorAwayError, match="leaving"):
        await requests.call("daemon.health", None, Health)


async def test_without_a_descriptor_left_a_call_fails_and_a_later_one_succeeds(
    conductor: SimulatedConductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    async with connection(conductor.socket_path) as requests:
        with monkeypatch.context() as patch:
            patch.setattr("marianne_stream.conductor.address.socket.socket", none_left)
            with pytest.raises(ConductorUnavailableError, match="Too many open files"):
                await requests.call("daemon.health", None, Health)
        assert (await requests.call("daemon.health", None, Health)).status == "ok"


async def test_a_lost_connection_is_opened_again(conductor: SimulatedConductor) -> None:
    async with connection(conductor.socket_path) as requests:
        await requests.call("daemon.health", None, Health)
        await conductor.disconnect_all()
        await asyncio.sleep(0)
        assert (await requests.call("daemon.health", None, Health)).status == "ok"
        assert conductor.statistics.connections_peak == 1


async def test_a_conductor_that_dies_fails_the_call_in_progress(
    conductor: SimulatedConductor,
) -> None:
    conductor.hang.add("daemon.health")
    async with connection(conductor.socket_path) as requests:
        call = asyncio.create_task(requests.call("daemon.health", None, Health))
        await until(lambda: conductor.statistics.requests["daemon.health"])
        await conductor.kill()
        with pytest.raises(ConductorLostError):
            await call


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (b"not json\n", ConductorProtocolError, "not JSON-RPC"),
        (b'["a list"]\n', ConductorProtocolError, "not JSON-RPC"),
        (b'{"id":1}\n', ConductorProtocolError, "neither result nor error"),
        (b'{"id":1,"result":{"status":5}}\n', ConductorProtocolError, "another shape"),
        (b'{"id":1,"result":[]}\n', ConductorProtocolError, "another shape"),
        (
            b'{"id":null,"error":{"code":-32700,"message":"what?"}}\n',
            ConductorProtocolError,
            "what",
        ),
        (b'{"id":1,"res', ConductorLostError, "in the middle of an answer"),
        (b'{"id":99,"result":{"status":"ok"}}\n', ConductorLostError, "closed the connection"),
        (b"", ConductorLostError, "closed the connection"),
        (b"x" * 2000, AnswerTooLargeError, "larger than"),
        (b'{"id":' + b"[" * 900 + b"\n", ConductorProtocolError, "not JSON-RPC"),
    ],
    ids=lambda value: value[:30] if isinstance(value, bytes) else None,
)
async def test_what_is_no_answer_is_a_typed_error(
    tmp_path: Path, answer: bytes, error: type[Exception], message: str
) -> None:
    path = tmp_path / "c.sock"
    async with scripted(path, answer), connection(path, message_limit_bytes=1000) as requests:
        with pytest.raises(error, match=message):
            await requests.call("daemon.health", None, Health)


async def test_an_answer_of_the_largest_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    empty = len(json.dumps({"id": 1, "result": {"status": ""}}))
    status = "y" * (16 * 1024 * 1024 - empty)
    answer = json.dumps({"id": 1, "result": {"status": status}}).encode()
    async with scripted(path, answer + b"\n"), connection(path) as requests:
        assert (await requests.call("daemon.health", None, Health)).status == status
    path = tmp_path / "d.sock"
    async with scripted(path, answer + b" \n"), connection(path) as requests:
        with pytest.raises(AnswerTooLargeError):
            await requests.call("daemon.health", None, Health)


async def test_nobody_at_the_socket_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "stale"))
    reasons = {
        "missing": "there is no socket at",
        "folder": "is a directory, not a socket",
        "file": "is a file, not a socket",
        "stale": "is a socket that nobody listens at",
        "x" * 200: "cannot connect to",
    }
    for name, reason in reasons.items():
        async with connection(tmp_path / name) as requests:
            with pytest.raises(ConductorUnavailableError, match=reason):
                await requests.call("daemon.health", None, Health)
