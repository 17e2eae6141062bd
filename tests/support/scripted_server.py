"""HTTP server with scripted responses."""

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
    """Return a stream with these frames that ends in good order."""
    return lambda: web.Response(body=SHORT_RETRY + b"".join(frames), headers=STREAM_HEADERS)


def error_response(status: int, detail: str = "No.", **headers: str) -> Callable[[], web.Response]:
    """Return an error response."""
    body = {"detail": detail, "code": "any"}
    return lambda: web.json_response(
        body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


LOG_COMPLETE = b'id: c-9\nevent: log_complete\ndata: {"message":"The end."}\n\n'


class ScriptedServer:
    """Server that gives the scripted responses in order.

    Attributes:
        requests: all requests so far.
        messages: what the client reported.
    """

    def __init__(self, *responses: Callable[[], web.StreamResponse]) -> None:
        self._responses = list(responses)
        self.requests: list[web.BaseRequest] = []
        self.messages: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        # The last response is repeated.
        return (self._responses.pop(0) if len(self._responses) > 1 else self._responses[0])()

    @property
    def last_event_ids(self) -> list[str]:
        """Return the `Last-Event-ID` of each request."""
        return [request.headers.get("Last-Event-ID", "") for request in self.requests]

    @asynccontextmanager
    async def run(
        self, retry_policy: RetryPolicy = DEFAULT_POLICY, token: str | None = None
    ) -> AsyncIterator[ApiClient]:
        """Run the server and yield a client of it."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self.handle)
        async with TestServer(app) as serving:
            address = parse_server_address(str(serving.make_url("/")))
            notes = StderrReporter(self.messages.append)
            async with ApiClient(
                address, token=token, retry_policy=retry_policy, reporter=notes
            ) as server:
                yield server
