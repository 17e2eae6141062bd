"""Targets of notifications on loopback, over HTTP and by mail, that fail as they are told."""

import asyncio
import email
import email.policy
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.ports import free_port

# What a target does with a message: it accepts it, answers with an error, or does not answer.
ACCEPT, LIMIT, FAIL, HANG = 200, 429, 500, 0

SMTP_REPLIES = {ACCEPT: "250 OK", LIMIT: "450 too many messages", FAIL: "554 failed"}

USER = "robot"
PASSWORD = "S3cretPassw0rd"


class LocalTarget:
    """Takes messages while it runs.

    Attributes:
        port: its port, the same for all runs.
        behaviour: what it does with the next messages.
        attempts: number of messages that came.
        titles: titles of the messages that it has accepted.
        bodies: their texts.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.behaviour = ACCEPT
        self.attempts = 0
        self.titles: list[str] = []
        self.bodies: list[str] = []

    @property
    def keys(self) -> list[str]:
        """Keys of the messages that it has accepted: their last lines."""
        return [body.splitlines()[-1] for body in self.bodies]

    async def take(self, title: str, body: str) -> int:
        """Take a message, and return what to answer."""
        self.attempts += 1
        behaviour = self.behaviour
        if behaviour == HANG:
            await asyncio.Event().wait()
        if behaviour == ACCEPT:
            self.titles.append(title)
            self.bodies.append(body)
        return behaviour


class HttpTarget(LocalTarget):
    """Takes the JSON that Apprise posts for `json://` and `ntfy://`."""

    @property
    def url(self) -> str:
        """URL of Apprise."""
        return f"json://{USER}:{PASSWORD}@127.0.0.1:{self.port}/hook"

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Listen; requests that hang at the end are dropped."""
        server = web.Server(self._answer)
        runner = web.ServerRunner(server, shutdown_timeout=0.01)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        message = await request.json()
        return web.Response(status=await self.take(message["title"], message["message"]))


class MailTarget(LocalTarget):
    """Takes mail from Apprise's `mailto://`, with a password."""

    @property
    def url(self) -> str:
        """URL of Apprise."""
        addresses = "from=robot@example.org&to=you@example.org"
        return f"mailto://{USER}:{PASSWORD}@127.0.0.1:{self.port}?{addresses}"

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Listen; messages that hang at the end are dropped."""
        sessions: list[SMTP] = []

        def make_session() -> SMTP:
            with warnings.catch_warnings():
                # It asks for a password without TLS.
                warnings.simplefilter("ignore", UserWarning)
                session = SMTP(
                    self, auth_required=True, auth_require_tls=False, authenticator=check_password
                )
            sessions.append(session)
            return session

        loop = asyncio.get_running_loop()
        server = await loop.create_server(make_session, "127.0.0.1", self.port)
        try:
            yield
        finally:
            server.close()
            for session in sessions:
                if session.transport is not None:
                    session.transport.close()
            await server.wait_closed()

    async def handle_DATA(  # noqa: N802 - aiosmtpd calls it
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Take a message."""
        content = envelope.content
        assert isinstance(content, bytes)
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert message.get_content_type() == "text/plain"
        text = "\n".join(str(message.get_content()).splitlines())
        return SMTP_REPLIES[await self.take(str(message["subject"]), text)]


def check_password(
    _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: object
) -> AuthResult:
    """Return whether a password is right."""
    is_right = data == LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=is_right)
