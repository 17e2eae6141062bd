"""Connections that end, and what is done about each: a server says what it is told to say."""

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web

from marianne_stream.client import api_client as server_module
from marianne_stream.client import sse_client as stream_module
from marianne_stream.client.api_client import ApiClient, error_for_status
from marianne_stream.client.retry import RetryPolicy
from marianne_stream.client.sse_client import SSEClient, StreamEvent
from marianne_stream.errors import (
    AccessDeniedError,
    CliError,
    CliJobNotFoundError,
    MarianneStreamError,
    ServerUnreachableError,
    SettingsError,
)
from tests.support.scripted_server import (
    LOG_COMPLETE,
    SHORT_RETRY,
    STREAM_HEADERS,
    ScriptedServer,
    error_response,
    make_log_frame,
    stream_response,
)
from tests.support.waiting import wait_until


async def read(server: ApiClient, cursor: str = "") -> list[StreamEvent]:
    """Reads a stream to its end."""
    stream = SSEClient(server, "/a", {"n": "1"}, resume_params={"n": "2"}, cursor=cursor)
    return [event async for batch in stream.batches() for event in batch]


async def test_a_stream_that_ends_early_is_taken_up_where_it_stopped() -> None:
    told = ScriptedServer(
        stream_response(make_log_frame(1), make_log_frame(2)),
        stream_response(),
        stream_response(make_log_frame(3), LOG_COMPLETE),
    )
    async with told.run() as server:
        events = await read(server)
    assert [event.data.get("line") for event in events] == ["1", "2", "3", None]
    assert told.last_event_ids == ["", "l-2", "l-2"]
    assert [request.query["n"] for request in told.requests] == ["1", "2", "2"]
    assert told.messages == [
        "marianne-stream: the server has ended the stream; trying again",
        "marianne-stream: connected again",
    ]


@pytest.mark.parametrize("first", [[], [stream_response(make_log_frame(1))]])
async def test_a_server_that_ends_each_stream_at_once_is_not_waited_for_without_end(
    first: list[Callable[[], web.Response]],
) -> None:
    told = ScriptedServer(*first, stream_response())
    async with told.run(RetryPolicy(0.05, 0.05)) as server:
        with pytest.raises(ServerUnreachableError, match="the server has ended the stream"):
            await read(server)
    assert told.messages == ["marianne-stream: the server has ended the stream; trying again"]


async def test_a_stream_that_lasts_is_connected_though_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_module, "HEALTHY_AFTER_S", 0.0)
    told = ScriptedServer(stream_response(make_log_frame(1)))

    async def be_quiet(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=STREAM_HEADERS)
        await response.prepare(request)
        await response.write(SHORT_RETRY + (b"" if told.requests else make_log_frame(1)))
        told.requests.append(request)
        if len(told.requests) > 1:
            await wait_until(lambda: "marianne-stream: connected again" in told.messages)
            await response.write(LOG_COMPLETE)
        return response

    monkeypatch.setattr(told, "handle", be_quiet)
    async with told.run() as server:
        assert len(await read(server)) == 2


async def test_half_an_event_is_not_shown_and_comes_whole_later() -> None:
    told = ScriptedServer(
        stream_response(make_log_frame(1), make_log_frame(2)[:-2]),
        stream_response(make_log_frame(2), LOG_COMPLETE),
    )
    async with told.run() as server:
        assert [event.data.get("line") for event in await read(server)] == ["1", "2", None]
    assert told.last_event_ids == ["", "l-1"]


async def test_an_id_alone_is_kept_for_the_next_connection() -> None:
    told = ScriptedServer(stream_response(b"id: l-0\n\n"), stream_response(LOG_COMPLETE))
    async with told.run() as server:
        await read(server)
    assert told.last_event_ids == ["", "l-0"]


async def test_204_is_the_end() -> None:
    told = ScriptedServer(lambda: web.Response(status=204))
    async with told.run() as server:
        assert await read(server, "c-9") == []
    assert told.last_event_ids == ["c-9"]


async def test_nothing_is_asked_for_after_the_last_event() -> None:
    told = ScriptedServer(stream_response(LOG_COMPLETE))
    async with told.run() as server:
        assert [event.cursor for event in await read(server)] == ["c-9"]
    assert len(told.requests) == 1


async def test_a_server_that_asks_to_come_back_is_asked_again_and_that_is_said_once() -> None:
    busy = error_response(503, "Too many streams are open.", Retry_After="0")
    told = ScriptedServer(busy, stream_response(make_log_frame(1), LOG_COMPLETE))
    async with told.run() as server:
        assert len(await read(server)) == 2
    assert told.messages == [
        "marianne-stream: Too many streams are open; trying again",
        "marianne-stream: connected again",
    ]


async def test_a_server_that_has_not_answered_yet_is_waited_for_as_long_as_is_wanted() -> None:
    told = ScriptedServer(error_response(502), stream_response(LOG_COMPLETE))
    async with told.run(RetryPolicy(60.0, 60.0)) as server:
        assert len(await read(server)) == 1
    told = ScriptedServer(error_response(502))
    async with told.run() as server:
        with pytest.raises(ServerUnreachableError):
            await read(server)


async def test_a_server_that_was_lost_is_not_waited_for_longer_than_is_wanted() -> None:
    told = ScriptedServer(stream_response(make_log_frame(1)), error_response(500, "It broke."))
    async with told.run(RetryPolicy(0.0, 0.01)) as server:
        with pytest.raises(ServerUnreachableError, match="It broke"):
            await read(server)


async def test_a_redirect_is_not_followed_so_that_the_token_stays_here() -> None:
    told = ScriptedServer(lambda: web.Response(status=302, headers={"Location": "/elsewhere"}))
    async with told.run(token="t" * 16) as server:
        with pytest.raises(CliError, match="answered 302"):
            await read(server)
    assert [request.headers["Authorization"] for request in told.requests] == ["Bearer " + "t" * 16]


async def test_an_answer_that_is_no_event_stream_is_a_sentence() -> None:
    told = ScriptedServer(lambda: web.Response(text="<p>Welcome", content_type="text/html"))
    async with told.run() as server:
        with pytest.raises(CliError, match="got text/html: is it a marianne-stream"):
            await read(server)


async def test_a_server_that_says_nothing_counts_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "READ_TIMEOUT_S", 0.05)
    heard: list[str] = []

    async def fall_silent(request: web.Request) -> web.StreamResponse:
        heard.append(request.headers.get("Last-Event-ID", ""))
        if len(heard) > 1:
            return stream_response(LOG_COMPLETE)()
        response = web.StreamResponse(headers=STREAM_HEADERS)
        await response.prepare(request)
        await response.write(SHORT_RETRY + make_log_frame(1))
        # Until the client leaves.
        await asyncio.sleep(30)
        return response

    told = ScriptedServer()
    monkeypatch.setattr(told, "handle", fall_silent)
    async with told.run() as server:
        assert len(await read(server)) == 2
    assert heard == ["", "l-1"]
    assert "no data for " in told.messages[0]


async def test_a_fault_of_the_server_is_said_and_the_stream_goes_on() -> None:
    broke = b'event: stream_error\ndata: {"error":"It broke.","error_type":"internal_error"}\n\n'
    told = ScriptedServer(stream_response(make_log_frame(1), broke), stream_response(LOG_COMPLETE))
    async with told.run() as server:
        await read(server)
    assert told.messages[0] == "marianne-stream: It broke."


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, SettingsError),
        (401, AccessDeniedError),
        (403, AccessDeniedError),
        (404, CliJobNotFoundError),
        (410, CliError),
        (421, AccessDeniedError),
        (429, ServerUnreachableError),
        (500, ServerUnreachableError),
        (503, ServerUnreachableError),
    ],
)
def test_what_each_status_means(status: int, error: type[MarianneStreamError]) -> None:
    assert type(error_for_status(status, "No", "")) is error


@pytest.mark.parametrize(
    ("header", "wait_s"), [("5", 5.0), ("99999", 60.0), ("", None), ("Tue, 24 Nov", None)]
)
def test_how_long_to_wait_is_the_servers_word_within_reason(
    header: str, wait_s: float | None
) -> None:
    error = error_for_status(503, "No", header)
    assert isinstance(error, ServerUnreachableError)
    assert error.retry_after_s == wait_s
