"""One read of the conductors for all clients, whoever leaves."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from marianne_stream.conductor_models import ConductorInfo
from marianne_stream.errors import StateUnavailableError
from marianne_stream.jobs import conductor_poller
from marianne_stream.jobs.conductor_poller import ConductorPoller

INFOS = {"": ConductorInfo(version="1")}


class Conductor:
    """Conductor whose answers a test delays."""

    def __init__(self) -> None:
        self.reads = 0
        self.may_answer = asyncio.Event()
        self.error: StateUnavailableError | None = None

    async def read(self) -> dict[str, ConductorInfo]:
        self.reads += 1
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return INFOS


@pytest.fixture
def conductor() -> Conductor:
    """Return a conductor that does not answer yet."""
    return Conductor()


@pytest.fixture
async def poller(conductor: Conductor) -> AsyncIterator[ConductorPoller]:
    """Yield a running poller without users."""
    poller = ConductorPoller(conductor.read, lambda: None)
    running = asyncio.create_task(poller.run())
    await asyncio.sleep(0)
    yield poller
    running.cancel()
    await asyncio.wait([running])


async def start_request(poller: ConductorPoller) -> "asyncio.Task[conductor_poller.Infos]":
    """Start a request, which waits for the conductor."""
    request = asyncio.create_task(poller.get())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return request


async def test_client_that_leaves_takes_no_answer_from_others(
    conductor: Conductor, poller: ConductorPoller
) -> None:
    first = await start_request(poller)
    second = await start_request(poller)
    first.cancel()
    await asyncio.wait([first])
    conductor.may_answer.set()
    assert await second == INFOS
    assert await poller.get() == INFOS
    assert conductor.reads == 1


async def test_late_answer_counts_after_the_first_stream_has_stopped_waiting(
    conductor: Conductor, poller: ConductorPoller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conductor_poller, "REFRESH_TIMEOUT_S", 0.01)
    poller.add_user()
    await poller.refresh()
    assert poller.infos == {}
    conductor.may_answer.set()
    assert await poller.get() == INFOS
    assert conductor.reads == 1


async def test_failure_is_told_to_all_who_wait(
    conductor: Conductor, poller: ConductorPoller
) -> None:
    conductor.error = StateUnavailableError("away")
    requests = [await start_request(poller) for _ in range(2)]
    conductor.may_answer.set()
    for request in requests:
        with pytest.raises(StateUnavailableError):
            await request
    with pytest.raises(StateUnavailableError):
        await poller.get()
    assert conductor.reads == 1


async def test_request_fails_when_the_server_stops(conductor: Conductor) -> None:
    poller = ConductorPoller(conductor.read, lambda: None)
    running = asyncio.create_task(poller.run())
    request = await start_request(poller)
    running.cancel()
    with pytest.raises(StateUnavailableError):
        await request
    await asyncio.wait([running])
