"""Tests of `files JOB PATH`: the bytes of a file."""

import io
from collections.abc import Callable

import pytest
from aiohttp import web

from marianne_stream.client.cli_errors import CliError, ServerUnreachableError
from marianne_stream.client.file_printer import print_file
from marianne_stream.client.output import Output
from marianne_stream.client.retry import RetryPolicy
from tests.support.screens import Screen
from tests.support.scripted_server import ScriptedServer

PATH = "/api/jobs/nightly/files/report.md"
TEXT = "é\n".encode() * 10
ETAG = '"1-2"'

Responder = Callable[[], web.StreamResponse]


def send(
    body: bytes, *, etag: str = ETAG, start: int | None = None, lost_bytes: int = 0
) -> Responder:
    """Return a response whose last bytes, if there are lost ones, are announced but not sent.

    With `start`, it is the rest of the text from that byte on.
    """
    length = str(len(body) + lost_bytes)
    headers = {"ETag": etag, "Content-Type": "text/plain; charset=utf-8", "Content-Length": length}
    status = 200 if start is None else 206
    if start is not None:
        headers["Content-Range"] = f"bytes {start}-{len(TEXT) - 1}/{len(TEXT)}"
    make = LostResponse if lost_bytes else web.Response
    return lambda: make(body=body, status=status, headers=headers)


class LostResponse(web.Response):
    """Response whose connection ends behind its bytes, whatever length its headers have."""

    async def write_eof(self, data: bytes = b"") -> None:
        await super().write_eof(data)
        assert self._req is not None
        assert self._req.transport is not None
        self._req.transport.close()


async def fetch_bytes(server: ScriptedServer) -> bytes:
    """Print the file to a pipe, and return what came out."""
    data = io.BytesIO()
    stream = io.TextIOWrapper(data, write_through=True)
    async with server.run(RetryPolicy(reconnect_timeout_s=5)) as client:
        assert await print_file(client, Output(stream, environ={}), PATH) == 0
    return data.getvalue()


async def test_pipe_gets_the_bytes_as_they_are() -> None:
    body = b"\0\xff\r\n\x1b[2J" + bytes(range(256)) * 1000
    server = ScriptedServer(send(body))
    assert await fetch_bytes(server) == body
    assert [request.path for request in server.requests] == [PATH]
    assert server.requests[0].headers["Accept-Encoding"] == "identity"
    assert await fetch_bytes(ScriptedServer(send(b""))) == b""


async def test_lost_connection_resumes_behind_the_last_byte() -> None:
    server = ScriptedServer(
        send(TEXT[:7], lost_bytes=23),
        send(TEXT[7:9], start=7, lost_bytes=21),
        send(TEXT[9:], start=9),
    )
    assert await fetch_bytes(server) == TEXT
    ranges = [(each.headers.get("Range"), each.headers.get("If-Range")) for each in server.requests]
    assert ranges == [(None, None), ("bytes=7-", ETAG), ("bytes=9-", ETAG)]
    assert server.messages[-1] == "marianne-stream: connected again"


@pytest.mark.parametrize(
    "answer",
    [
        send(TEXT, etag='"3-4"'),
        # A proxy that ignores If-Range, and one that sends another part.
        send(TEXT[7:], start=7, etag='"3-4"'),
        send(TEXT[5:], start=5),
    ],
)
async def test_file_that_has_changed_since_is_an_error(answer: Responder) -> None:
    server = ScriptedServer(send(TEXT[:7], lost_bytes=23), answer)
    with pytest.raises(CliError, match="the file has changed since"):
        await fetch_bytes(server)


async def test_download_that_cannot_be_resumed_is_an_error() -> None:
    server = ScriptedServer(send(TEXT[:7], lost_bytes=23))
    async with server.run(RetryPolicy(reconnect_timeout_s=0)) as client:
        stream = io.TextIOWrapper(io.BytesIO())
        with pytest.raises(ServerUnreachableError, match="the connection was lost"):
            await print_file(client, Output(stream, environ={}), PATH)


async def show(body: bytes, *, term: str = "xterm", colour: str = "auto") -> str:
    """Print a file to a terminal, and return what it gets."""
    screen = Screen()
    async with ScriptedServer(send(body)).run() as client:
        output = Output(screen, colour=colour, environ={"TERM": term})
        assert await print_file(client, output, PATH) == 0
    return screen.getvalue()


@pytest.mark.parametrize("term", ["xterm", "dumb"])
async def test_terminal_gets_text_without_control_sequences(term: str) -> None:
    body = b"# \x1b]0;owned\x07Title\r\n10%\r20%\n\xff \xe2\x80\xaex\x1b[2J"
    assert await show(body, term=term) == "# Title\n20%\n\ufffd \ufffdx\n"


async def test_terminal_gets_colours_unless_they_are_off() -> None:
    assert await show(b"\x1b[31mred\n") == "\x1b[31mred\x1b[0m\n"
    assert await show(b"\x1b[31mred\n", colour="never") == "red\n"


async def test_terminal_gets_long_lines_in_parts() -> None:
    body = b"x" * 300_000 + b"\nlast"
    assert (await show(body)).replace("\n", "") == "x" * 300_000 + "last"


async def test_terminal_gets_no_binary_file() -> None:
    with pytest.raises(CliError, match="not a text: redirect the output to a file or a pipe"):
        await show(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
