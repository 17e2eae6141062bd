"""A server that is told what to say: no marianne-stream, but a hearer of what it is asked."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

from marianne_stream.client.address import server_address
from marianne_stream.client.notes import Notes
from marianne_stream.client.patience import Patience
from marianne_stream.client.server import Server

STREAM = {"Content-Type": "text/event-stream"}
DEFAULT = Patience()
QUICK = b"retry: 1\n\n"


def line(number: int) -> bytes:
    return b'id: l-%d\nevent: log\ndata: {"line":"%d"}\n\n' % (number, number)


def said(*frames: bytes) -> Callable[[], web.Response]:
    """An answer that says so much, and ends in good order."""
    return lambda: web.Response(body=QUICK + b"".join(frames), headers=STREAM)


def fault(status: int, detail: str = "No.", **headers: str) -> Callable[[], web.Response]:
    """An answer that is an error."""
    body = {"detail": detail, "code": "any"}
    return lambda: web.json_response(
        body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


END = b'id: c-9\nevent: log_complete\ndata: {"message":"The end."}\n\n'


class Told:
    """A server that gives the answers that it was told, in their order.

    Attributes:
        asked: what it was asked, in order.
        notes: what the client said of it.
    """

    def __init__(self, *answers: Callable[[], web.StreamResponse]) -> None:
        self._answers = list(answers)
        self.asked: list[web.BaseRequest] = []
        self.notes: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        # The last one stays.
        return (self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])()

    @property
    def resumed(self) -> list[str]:
        """Where each request wanted to go on."""
        return [request.headers.get("Last-Event-ID", "") for request in self.asked]

    @asynccontextmanager
    async def serving(
        self, patience: Patience = DEFAULT, token: str | None = None
    ) -> AsyncIterator[Server]:
        """The server, as a client has it."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self.answer)
        async with TestServer(app) as serving:
            address = server_address(str(serving.make_url("/")))
            notes = Notes(self.notes.append)
            async with Server(address, token=token, patience=patience, notes=notes) as server:
                yield server
