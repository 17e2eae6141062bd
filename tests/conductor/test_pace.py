"""A slow answer buys the conductor a rest."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from marianne_stream.conductor.pace import REST_CAP_S, REST_FACTOR, Pace
from marianne_stream.conductor.rpc import RequestConnection
from marianne_stream.demo.conductor import SimulatedConductor
from marianne_stream.errors import ConductorTimeoutError
from tests.support.waiting import until


@pytest.fixture
async def requests(conductor: SimulatedConductor) -> AsyncIterator[RequestConnection]:
    """A request connection that is closed at the end."""
    requests = RequestConnection(conductor.socket_path, call_limit_s=0.15)
    yield requests
    await requests.close()


def rest_s(pace: Pace) -> float:
    return pace._not_before - asyncio.get_running_loop().time()


async def test_the_next_request_waits_five_times_what_the_last_answer_took() -> None:
    loop = asyncio.get_running_loop()
    pace = Pace()
    began = loop.time()
    pace.took(0.02)
    await pace.rested()
    assert loop.time() - began >= REST_FACTOR * 0.02 * 0.99


async def test_nobody_waits_longer_than_the_cap() -> None:
    pace = Pace()
    pace.took(3600.0)
    assert rest_s(pace) <= REST_CAP_S


async def test_what_is_measured_is_the_answer_and_not_the_queue_before_it(
    conductor: SimulatedConductor, requests: RequestConnection
) -> None:
    slow, quick = Pace(), Pace()
    conductor.delay_s["daemon.status"] = 0.1
    await asyncio.gather(
        requests.call("daemon.status", None, msgspec.Raw, pace=slow),
        requests.call("daemon.health", None, msgspec.Raw, pace=quick),
    )
    assert rest_s(slow) > 0.3
    assert rest_s(quick) < 0.3


async def test_a_call_that_is_given_up_buys_a_rest_as_well(
    conductor: SimulatedConductor, requests: RequestConnection
) -> None:
    pace = Pace()
    conductor.delay_s["daemon.status"] = 0.1
    call = asyncio.create_task(requests.call("daemon.status", None, msgspec.Raw, pace=pace))
    await until(lambda: conductor.statistics.requests["daemon.status"])
    await asyncio.sleep(0.05)
    call.cancel()
    await asyncio.wait([call])
    assert rest_s(pace) > 0.2


async def test_who_does_not_answer_has_nothing_to_rest_from(
    conductor: SimulatedConductor, requests: RequestConnection
) -> None:
    pace = Pace()
    conductor.hang.add("daemon.status")
    with pytest.raises(ConductorTimeoutError):
        await requests.call("daemon.status", None, msgspec.Raw, pace=pace)
    assert rest_s(pace) < 0
    conductor.hang.clear()
    await conductor.disconnect_all()
