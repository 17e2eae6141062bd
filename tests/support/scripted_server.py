"""A server that is told what to say: no marianne-stream, but a hearer of what it is asked."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

from marianne_stream.client.address import parse_server_address
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.messages import StderrReporter
from marianne_stream.client.retry import RetryPolicy

STREAM_HEADERS = {"Content-Type": "text/event-stream"}
DEFAULT_POLICY = RetryPolicy()
SHORT_RETRY = b"retry: 1\n\n"


def make_log_frame(number: int) -> bytes:
    return b'id: l-%d\nevent: log\ndata: {"line":"%d"}\n\n' % (number, number)


def stream_response(*frames: bytes) -> Callable[[], web.Response]:
    """An answer that says so much, and ends in good order."""
    return lambda: web.Response(body=SHORT_RETRY + b"".join(frames), headers=STREAM_HEADERS)


def error_response(status: int, detail: str = "No.", **headers: str) -> Callable[[], web.Response]:
    """An answer that is an error."""
    body = {"detail": detail, "code": "any"}
    return lambda: web.json_response(
        body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


LOG_COMPLETE = b'id: c-9\nevent: log_complete\ndata: {"message":"The end."}\n\n'


class ScriptedServer:
    """A server that gives the answers that it was told, in their order.

    Attributes:
        requests: what it was asked, in order.
        messages: what the client said of it.
    """

    def __init__(self, *responses: Callable[[], web.StreamResponse]) -> None:
        self._responses = list(responses)
        self.requests: list[web.BaseRequest] = []
        self.messages: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        # The last one stays.
        return (self._responses.pop(0) if len(self._responses) > 1 else self._responses[0])()

    @property
    def last_event_ids(self) -> list[str]:
        """Where each request wanted to go on."""
        return [request.headers.get("Last-Event-ID", "") for request in self.requests]

    @asynccontextmanager
    async def run(
        self, retry_policy: RetryPolicy = DEFAULT_POLICY, token: str | None = None
    ) -> AsyncIterator[ApiClient]:
        """The server, as a client has it."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self.handle)
        async with TestServer(app) as serving:
            address = parse_server_address(str(serving.make_url("/")))
            notes = StderrReporter(self.messages.append)
            async with ApiClient(
                address, token=token, retry_policy=retry_policy, reporter=notes
            ) as server:
                yield server
