"""Tests of the position of `logs --since`."""

from typing import Any

import pytest
from aiohttp import web

from marianne_stream.client.log_since import SincePosition, find_since
from tests.support.scripted_server import ScriptedServer


def page(
    *cursors: str,
    target: str | None = None,
    logged_at: str | None = None,
    before: str | None = None,
) -> Any:
    """Return a response with lines that have these cursors."""
    lines = [{"line": "x", "cursor": cursor, "logged_at": logged_at} for cursor in cursors]
    body = {"lines": lines, "before": before, "after": "end", "target": target}
    return lambda: web.json_response(body)


async def find(server: ScriptedServer, since_s: float = 60.0) -> SincePosition:
    async with server.run() as client:
        return await find_since(client, "/api/jobs/a/logs/lines", {"level": "error"}, since_s)


async def test_first_line_of_a_time_is_found_in_one_request() -> None:
    server = ScriptedServer(page("c1", "c2", "c3", target="c2"))
    assert await find(server) == SincePosition("c1")
    (request,) = server.requests
    assert dict(request.query) == {"time": "1970-01-01T00:01:00+00:00", "limit": "100"}


async def test_log_that_begins_later_starts_with_its_first_matching_line() -> None:
    server = ScriptedServer(page("c1", "c2", target="c1"), page("c2"))
    position = await find(server, since_s=-1e12)
    assert position.cursor == "c2"
    assert position.first_event is not None
    assert position.first_event.cursor == "c2"
    assert server.requests[0].query["time"] == "1970-01-01T00:00:00+00:00"
    assert server.requests[1].query["level"] == "error"
    without_match = ScriptedServer(page("c1", "c2", target="c1"), page())
    assert await find(without_match) == SincePosition("end")


@pytest.mark.parametrize("older", [page(before="b0"), page("b0", before="b0"), page("b0")])
async def test_line_before_is_searched_again_if_the_search_took_too_long(older: Any) -> None:
    server = ScriptedServer(page("c1", "c2", target="c1", before="b1"), older)
    assert await find(server) == SincePosition("end")
    assert dict(server.requests[1].query) == {"before": "c1", "limit": "1"}


async def test_log_without_a_line_before_starts_with_its_first_line() -> None:
    pages = page("c1", target="c1", before="b1"), page(), page("c1")
    position = await find(ScriptedServer(*pages))
    assert position.cursor == "c1"
    assert position.first_event is not None


async def test_log_of_older_lines_starts_at_its_end() -> None:
    older = page("c1", "c2", logged_at="1970-01-01T00:00:01Z")
    assert await find(ScriptedServer(older)) == SincePosition("end")
    without_times = await find(ScriptedServer(page("c1", "c2")))
    assert without_times == SincePosition("end", has_times=False)
    assert await find(ScriptedServer(page())) == SincePosition("end")
    # Only the unfinished last line is new.
    assert await find(ScriptedServer(page("c1", "c2", target="c3"))) == SincePosition("c2")
