"""Tests of the estimate of the server's clock."""

import time
from datetime import timedelta, timezone
from email.utils import formatdate

import pytest
from aiohttp import web

from marianne_stream.client.api_models import JobPageBody
from marianne_stream.client.server_clock import OffsetBounds, ServerClock, estimate_offset
from tests.support.scripted_server import ScriptedServer

DATE = "Tue, 24 Nov 2026 12:00:00 GMT"
DATE_S = 1_795_521_600.0


def test_date_header_bounds_clock_offset() -> None:
    assert estimate_offset(DATE, DATE_S - 0.5, DATE_S - 0.25) == OffsetBounds(0.25, 1.5)


@pytest.mark.parametrize("date", ["", "soon", "Tue, 99 Nov 2026 12:00:00 GMT"])
def test_invalid_date_header_gives_no_bounds(date: str) -> None:
    assert estimate_offset(date, 0, 0) is None


def test_bounds_around_zero_give_no_offset() -> None:
    clock = ServerClock()
    clock.narrow(OffsetBounds(-0.5, 0.7))
    assert clock.now_s() == pytest.approx(time.time(), abs=0.1)


def test_disjoint_bounds_replace_earlier_bounds() -> None:
    clock = ServerClock()
    clock.narrow(OffsetBounds(99.5, 100.5))
    clock.narrow(OffsetBounds(100.0, 101.0))
    assert clock.now_s() == pytest.approx(time.time() + 100.25, abs=0.1)
    clock.narrow(OffsetBounds(-50.5, -49.5))
    assert clock.now_s() == pytest.approx(time.time() - 50, abs=0.1)


async def test_every_response_sets_the_clock() -> None:
    def hour_behind() -> web.Response:
        headers = {
            "Date": formatdate(time.time() - 3600, usegmt=True),
            "Local-Time-Offset": "-0330",
        }
        return web.json_response({"jobs": []}, headers=headers)

    async with ScriptedServer(hour_behind).run() as server:
        assert server.clock.zone is None
        await server.get_json("/api/jobs", {}, JobPageBody)
        assert server.clock.now_s() == pytest.approx(time.time() - 3600, abs=2)
        assert server.clock.zone == timezone(timedelta(hours=-3, minutes=-30))
