"""The server's time, from the dates of its answers."""

import time
from email.utils import formatdate

import pytest
from aiohttp import web

from marianne_stream.client.answers import Page
from marianne_stream.client.server_clock import Bounds, ServerClock, bounds_of
from tests.support.told import Told

DATE = "Tue, 24 Nov 2026 12:00:00 GMT"
DATE_S = 1_795_521_600.0


def test_date_of_an_answer_bounds_how_far_the_server_is_ahead() -> None:
    assert bounds_of(DATE, DATE_S - 0.5, DATE_S - 0.25) == Bounds(0.25, 1.5)


@pytest.mark.parametrize("date", ["", "soon", "Tue, 99 Nov 2026 12:00:00 GMT"])
def test_date_that_is_not_a_date_bounds_nothing(date: str) -> None:
    assert bounds_of(date, 0, 0) is None


def test_clocks_that_may_agree_are_taken_for_equal() -> None:
    clock = ServerClock()
    clock.take(Bounds(-0.5, 0.7))
    assert clock.now_s() == pytest.approx(time.time(), abs=0.1)


def test_bounds_that_exclude_those_before_replace_them() -> None:
    clock = ServerClock()
    clock.take(Bounds(99.5, 100.5))
    clock.take(Bounds(100.0, 101.0))
    assert clock.now_s() == pytest.approx(time.time() + 100.25, abs=0.1)
    clock.take(Bounds(-50.5, -49.5))
    assert clock.now_s() == pytest.approx(time.time() - 50, abs=0.1)


async def test_each_answer_of_a_server_sets_its_clock() -> None:
    def hour_behind() -> web.Response:
        headers = {"Date": formatdate(time.time() - 3600, usegmt=True)}
        return web.json_response({"jobs": []}, headers=headers)

    async with Told(hour_behind).serving() as server:
        await server.ask("/api/jobs", {}, Page)
        assert server.clock.now_s() == pytest.approx(time.time() - 3600, abs=2)
