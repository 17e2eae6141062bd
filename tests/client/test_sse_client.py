"""Tests of the stream client against a scripted server: reconnects, resuming, errors."""

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web

from marianne_stream.client import api_client as api_client_module
from marianne_stream.client import sse_client as sse_client_module
from marianne_stream.client.api_client import ApiClient, error_for_status
from marianne_stream.client.cli_errors import (
    AccessDeniedError,
    CliError,
    CliJobNotFoundError,
    ServerUnreachableError,
)
from marianne_stream.client.retry import RetryPolicy
from marianne_stream.client.sse_client import SSEClient, StreamEvent
from marianne_stream.errors import MarianneStreamError, SettingsError
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
    """Read a stream to its end."""
    stream = SSEClient(server, "/a", {"n": "1"}, resume_params={"n": "2"}, cursor=cursor)
    return [event async for batch in stream.batches() for event in batch]


async def test_stream_resumes_at_last_event_id() -> None:
    scripted = ScriptedServer(
        stream_response(make_log_frame(1), make_log_frame(2)),
        stream_response(),
        stream_response(make_log_frame(3), LOG_COMPLETE),
    )
    async with scripted.run() as server:
        events = await read(server)
    assert [event.data.get("line") for event in events] == ["1", "2", "3", None]
    assert scripted.last_event_ids == ["", "l-2", "l-2"]
    assert [request.query["n"] for request in scripted.requests] == ["1", "2", "2"]
    assert scripted.messages == [
        "marianne-stream: the server has ended the stream; trying again",
        "marianne-stream: connected again",
    ]


@pytest.mark.parametrize("first", [[], [stream_response(make_log_frame(1))]])
async def test_repeatedly_ended_stream_fails_after_retry_timeout(
    first: list[Callable[[], web.Response]],
) -> None:
    scripted = ScriptedServer(*first, stream_response())
    async with scripted.run(RetryPolicy(0.05, 0.05)) as server:
        with pytest.raises(ServerUnreachableError, match="the server has ended the stream"):
            await read(server)
    assert scripted.messages == ["marianne-stream: the server has ended the stream; trying again"]


async def test_quiet_stream_counts_as_connected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sse_client_module, "HEALTHY_AFTER_S", 0.0)
    scripted = ScriptedServer(stream_response(make_log_frame(1)))

    async def send_nothing(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=STREAM_HEADERS)
        await response.prepare(request)
        await response.write(SHORT_RETRY + (b"" if scripted.requests else make_log_frame(1)))
        scripted.requests.append(request)
        if len(scripted.requests) > 1:
            await wait_until(lambda: "marianne-stream: connected again" in scripted.messages)
            await response.write(LOG_COMPLETE)
        return response

    monkeypatch.setattr(scripted, "handle", send_nothing)
    async with scripted.run() as server:
        assert len(await read(server)) == 2


async def test_incomplete_event_is_dropped_and_sent_again() -> None:
    scripted = ScriptedServer(
        stream_response(make_log_frame(1), make_log_frame(2)[:-2]),
        stream_response(make_log_frame(2), LOG_COMPLETE),
    )
    async with scripted.run() as server:
        assert [event.data.get("line") for event in await read(server)] == ["1", "2", None]
    assert scripted.last_event_ids == ["", "l-1"]


async def test_id_without_event_is_used_to_resume() -> None:
    scripted = ScriptedServer(stream_response(b"id: l-0\n\n"), stream_response(LOG_COMPLETE))
    async with scripted.run() as server:
        await read(server)
    assert scripted.last_event_ids == ["", "l-0"]


async def test_status_204_ends_the_stream() -> None:
    scripted = ScriptedServer(lambda: web.Response(status=204))
    async with scripted.run() as server:
        assert await read(server, "c-9") == []
    assert scripted.last_event_ids == ["c-9"]


async def test_final_event_ends_without_reconnect() -> None:
    scripted = ScriptedServer(stream_response(LOG_COMPLETE))
    async with scripted.run() as server:
        assert [event.cursor for event in await read(server)] == ["c-9"]
    assert len(scripted.requests) == 1


async def test_status_503_is_retried_and_reported_once() -> None:
    busy = error_response(503, "Too many streams are open.", Retry_After="0")
    scripted = ScriptedServer(busy, stream_response(make_log_frame(1), LOG_COMPLETE))
    async with scripted.run() as server:
        assert len(await read(server)) == 2
    assert scripted.messages == [
        "marianne-stream: Too many streams are open; trying again",
        "marianne-stream: connected again",
    ]


async def test_first_connection_is_retried_within_connect_timeout() -> None:
    scripted = ScriptedServer(error_response(502), stream_response(LOG_COMPLETE))
    async with scripted.run(RetryPolicy(60.0, 60.0)) as server:
        assert len(await read(server)) == 1
    scripted = ScriptedServer(error_response(502))
    async with scripted.run() as server:
        with pytest.raises(ServerUnreachableError):
            await read(server)


async def test_lost_server_fails_after_reconnect_timeout() -> None:
    scripted = ScriptedServer(stream_response(make_log_frame(1)), error_response(500, "It broke."))
    async with scripted.run(RetryPolicy(0.0, 0.01)) as server:
        with pytest.raises(ServerUnreachableError, match="It broke"):
            await read(server)


async def test_redirect_is_not_followed() -> None:
    scripted = ScriptedServer(lambda: web.Response(status=302, headers={"Location": "/elsewhere"}))
    async with scripted.run(token="t" * 16) as server:
        with pytest.raises(CliError, match="answered 302"):
            await read(server)
    assert [request.headers["Authorization"] for request in scripted.requests] == [
        "Bearer " + "t" * 16
    ]


async def test_wrong_content_type_is_an_error() -> None:
    scripted = ScriptedServer(lambda: web.Response(text="<p>Welcome", content_type="text/html"))
    async with scripted.run() as server:
        with pytest.raises(CliError, match="got text/html: is it a marianne-stream"):
            await read(server)


async def test_silent_connection_times_out_and_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client_module, "READ_TIMEOUT_S", 0.05)
    last_event_ids: list[str] = []

    async def stop_sending(request: web.Request) -> web.StreamResponse:
        last_event_ids.append(request.headers.get("Last-Event-ID", ""))
        if len(last_event_ids) > 1:
            return stream_response(LOG_COMPLETE)()
        response = web.StreamResponse(headers=STREAM_HEADERS)
        await response.prepare(request)
        await response.write(SHORT_RETRY + make_log_frame(1))
        # Until the client disconnects.
        await asyncio.sleep(30)
        return response

    scripted = ScriptedServer()
    monkeypatch.setattr(scripted, "handle", stop_sending)
    async with scripted.run() as server:
        assert len(await read(server)) == 2
    assert last_event_ids == ["", "l-1"]
    assert "no data for " in scripted.messages[0]


async def test_stream_error_is_reported_and_stream_resumes() -> None:
    error_frame = (
        b'event: stream_error\ndata: {"error":"It broke.","error_type":"internal_error"}\n\n'
    )
    scripted = ScriptedServer(
        stream_response(make_log_frame(1), error_frame), stream_response(LOG_COMPLETE)
    )
    async with scripted.run() as server:
        await read(server)
    assert scripted.messages[0] == "marianne-stream: It broke."


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, SettingsError),
        (401, AccessDeniedError),
        (403, AccessDeniedError),
        (404, CliJobNotFoundError),
        (410, CliError),
        (421, AccessDeniedError),
        (422, CliError),
        (429, ServerUnreachableError),
        (500, ServerUnreachableError),
        (503, ServerUnreachableError),
    ],
)
def test_status_maps_to_error(status: int, error: type[MarianneStreamError]) -> None:
    assert type(error_for_status(status, "No", "")) is error


@pytest.mark.parametrize(
    ("header", "wait_s"), [("5", 5.0), ("99999", 60.0), ("", None), ("Tue, 24 Nov", None)]
)
def test_retry_after_is_limited_to_60_s(header: str, wait_s: float | None) -> None:
    error = error_for_status(503, "No", header)
    assert isinstance(error, ServerUnreachableError)
    assert error.retry_after_s == wait_s
