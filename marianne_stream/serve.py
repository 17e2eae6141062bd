"""Runs the server in this process: listens, waits for signals or a fault, and leaves."""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from marianne_stream.app import BACKGROUND, KEEPER, abort, create_app, leave, runner_of, summary
from marianne_stream.errors import MarianneStreamError, SettingsError
from marianne_stream.listening import (
    BACKLOG,
    ListenError,
    address,
    check_listening,
    check_private,
    for_streams,
    is_worker,
    remove_own,
    tcp_socket,
    unix_socket,
    worker_socket,
)
from marianne_stream.log_output import set_level
from marianne_stream.memory import spare_collections
from marianne_stream.settings import Settings
from marianne_stream.signals import ignore_from_now_on
from marianne_stream.systemd import Notifier, passed_sockets
from marianne_stream.version import VERSION
from marianne_stream.web.keys import STREAMS

logger = logging.getLogger(__name__)

# Open files that are no streams: other connections, and those that are about to be refused; logs,
# and the conductor's connections.
RESERVED_DESCRIPTORS = 256

# How many connections are accepted in one turn of the loop: they are files before they can be
# refused. (asyncio makes this of the backlog that it is given.)
ACCEPTS_A_TURN = 16

STATUS_INTERVAL_S = 5.0
TELL_AGAIN_S = 0.1

# After the second signal, clients that read have so long to take what they are sent.
HURRY_S = 0.2


async def serve(
    settings: Settings,
    *,
    announce: Callable[[str], None],
    reread: Callable[[], Settings] | None = None,
    settings_file: Path | None = None,
) -> int:
    """Serves until SIGTERM or SIGINT, or until a part of the server fails.

    SIGHUP has tokens and the log's level read again.

    Args:
        settings: what to serve, and where.
        announce: called with a line for each address, once the server listens, and with how to sign
            in where the server's token is its own.
        reread: gives the settings anew.
        settings_file: where the settings were read; None if no file was named.

    Returns:
        The exit code: 0 after a signal, 1 after a fault.

    Raises:
        ListenError: an address cannot be listened on.
        SettingsError: the tokens cannot be read or made, or would not be asked for where they must.
    """
    settings = within_descriptors(settings)
    notifier = Notifier()
    as_worker = is_worker()
    with contextlib.ExitStack() as stack:
        stack.callback(notifier.close)
        sockets = listening(settings, stack)
        if settings.no_auth:
            check_private(sockets)
        app = create_app(settings)
        runner = runner_of(app, settings)
        signals = stack.enter_context(Signals(partial(abort, app, runner)).caught())
        if as_worker:
            stack.enter_context(signals.asked_by_end_of(sys.stdin.fileno()))
        background = app[BACKGROUND]
        asyncio.get_running_loop().set_exception_handler(background.on_loop_fault)
        await runner.setup()
        try:
            sites = [await begun(runner, sock) for sock in sockets]
            background.start("signals", signals.reload_when_told(app, notifier, reread))
            background.start("systemd", keep_informed(app, notifier))
            spare_collections()
            for line in greeting(app, settings, sockets):
                announce(line)
            log_start(sockets, settings_file)
            notifier.ready()
            await first_of(signals.asked, background.failed)
            notifier.stopping()
            reason = signals.reason if background.error is None else "fault"
            logger.info("server stopping reason=%s streams=%d", reason, len(app[STREAMS]))
            for site in sites:
                await site.stop()
            runner.connections.leave()
            if background.error is None:
                await leave(app, drain_s=settings.drain_timeout_s, hurry=signals.asked_again)
        finally:
            await runner.cleanup()
    # One that came while it left counts, too.
    if background.error is not None:
        logger.critical("ended by a fault: %r", background.error)
        return 1
    logger.info("server stopped")
    return 0


def log_start(sockets: Iterable[socket.socket], settings_file: Path | None) -> None:
    """Log that the server has started: its version, where its settings are, where it listens."""
    logger.info(
        "server started version=%s settings_file=%s addresses=%s",
        *(VERSION, settings_file or "none", ",".join(map(address, sockets)) or "none"),
    )


def listening(settings: Settings, stack: contextlib.ExitStack) -> list[socket.socket]:
    """The sockets to listen on, which the stack closes; raises as `serve` does."""
    if (own := worker_socket()) is not None:
        return [stack.enter_context(own)]
    try:
        sockets = passed_sockets()
    except OSError as error:
        raise ListenError(f"what systemd passes is no socket: {error.strerror}") from error
    for sock in sockets:
        stack.enter_context(sock)
        check_listening(sock)
        for_streams(sock)
    if sockets:
        return sockets
    if settings.uds is not None:
        sock = stack.enter_context(unix_socket(settings.uds, int(settings.uds_mode, 8)))
        stack.callback(remove_own, settings.uds, settings.uds.lstat().st_ino)
        sockets.append(sock)
    if settings.port is not None:
        sockets.insert(0, stack.enter_context(tcp_socket(settings.host, settings.port)))
    if not sockets and settings.publish_url is None:
        raise SettingsError("port none leaves nowhere to listen: unix names a Unix socket")
    return sockets


async def begun(runner: web.AppRunner, sock: socket.socket) -> web.SockSite:
    """Accepts what connects to a socket."""
    site = web.SockSite(runner, sock, backlog=ACCEPTS_A_TURN)
    await site.start()
    # More may wait to be accepted.
    sock.listen(BACKLOG)
    return site


def greeting(
    app: web.Application, settings: Settings, sockets: list[socket.socket]
) -> Iterator[str]:
    """What a person is told first: where it listens, and how to sign in."""
    for sock in sockets:
        yield f"marianne-stream listening on {address(sock)}"
    if not sockets:
        yield f"marianne-stream publishes as {settings.source_name}"
    for sock in sockets:
        if settings.no_auth or sock.family == socket.AF_UNIX:
            continue
        host = sock.getsockname()[0]
        if host not in ("127.0.0.1", "::1"):
            logger.warning(
                "tokens cross the network readably: put a proxy with TLS before %s", host
            )
    keeper = app[KEEPER]
    tcp = [sock for sock in sockets if sock.family != socket.AF_UNIX]
    # A log of the system is no place for it, at each start: the token is there by then.
    if keeper is not None and tcp and (keeper.made or (keeper.own and sys.stdout.isatty())):
        yield f"Sign in, once, with: {address(tcp[0])}/login?code={keeper.new_link()}"


def within_descriptors(settings: Settings) -> Settings:
    """The settings, with no more streams than this process may open files for.

    The limit of open files (getrlimit(2)) is raised as far as that is allowed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or settings.max_streams <= hard - RESERVED_DESCRIPTORS:
        return settings
    allowed = max(1, hard - RESERVED_DESCRIPTORS)
    logger.warning(
        "max_streams is %d and not %d: this process may open no more than %d files",
        *(allowed, settings.max_streams, hard),
    )
    return settings.model_copy(update={"max_streams": allowed})


class Signals:
    """What the process is told from outside.

    Args:
        abort: ends all that is open at once; called soon after the second SIGTERM or SIGINT.

    Attributes:
        asked: set by the first SIGTERM or SIGINT.
        asked_again: set by the second.
        told: set by SIGHUP.
        reason: what asked first.
    """

    def __init__(self, abort: Callable[[], None]) -> None:
        self._abort = abort
        self.asked = asyncio.Event()
        self.asked_again = asyncio.Event()
        self.told = asyncio.Event()
        self.reason = ""

    @contextmanager
    def caught(self) -> Iterator["Signals"]:
        """Catches signals for as long as the context lasts, and ignores them after it was asked.

        What is left of leaving is not to be cut off by a signal that is sent once more.
        """
        loop = asyncio.get_running_loop()
        actions: Mapping[int, Callable[[], None]] = {
            signal.SIGTERM: partial(self._ask, "SIGTERM"),
            signal.SIGINT: partial(self._ask, "SIGINT"),
            signal.SIGHUP: self.told.set,
        }
        for number, action in actions.items():
            loop.add_signal_handler(number, action)
        try:
            yield self
        finally:
            if self.asked.is_set():
                ignore_from_now_on(actions)
            else:
                for number in actions:
                    loop.remove_signal_handler(number)

    @contextmanager
    def asked_by_end_of(self, descriptor: int) -> Iterator[None]:
        """Takes the end of a pipe for a signal: who held its other end is gone."""
        loop = asyncio.get_running_loop()

        def look() -> None:
            if not os.read(descriptor, 1):
                loop.remove_reader(descriptor)
                self._ask("parent_gone")

        loop.add_reader(descriptor, look)
        try:
            yield
        finally:
            loop.remove_reader(descriptor)

    def _ask(self, reason: str) -> None:
        self.reason = self.reason or reason
        if self.asked.is_set():
            self.asked_again.set()
            # Wherever it is in its leaving, a client that does not read would be waited for.
            asyncio.get_running_loop().call_later(HURRY_S, self._abort)
        self.asked.set()

    async def reload_when_told(
        self, app: web.Application, notifier: Notifier, reread: Callable[[], Settings] | None
    ) -> None:
        """Reads tokens and the log's level again at each SIGHUP, until it is cancelled."""
        while True:
            await self.told.wait()
            self.told.clear()
            notifier.reloading()
            try:
                reload(app, reread)
            except MarianneStreamError as error:
                logger.error("nothing is changed by SIGHUP: %s", error)  # noqa: TRY400 - no fault
            notifier.ready()


def reload(app: web.Application, reread: Callable[[], Settings] | None) -> None:
    """Reads tokens and the log's level again.

    Raises:
        SettingsError: one of them cannot be read.
    """
    settings = reread() if reread is not None else None
    keeper = app[KEEPER]
    if keeper is not None:
        keeper.reload()
    if settings is not None:
        set_level(settings.log_level)
        logger.info("read the log's level again")
    if keeper is not None:
        logger.info("read the tokens again: %s", keeper.source)


async def keep_informed(app: web.Application, notifier: Notifier) -> None:
    """Tells systemd that the loop turns, and what it does, until it is cancelled."""
    interval_s = min(STATUS_INTERVAL_S, notifier.watchdog_s or STATUS_INTERVAL_S)
    while True:
        if notifier.watchdog_s is not None:
            notifier.alive()
        notifier.status(summary(app))
        notifier.tell_again()
        await asyncio.sleep(TELL_AGAIN_S if notifier.owes else interval_s)


async def first_of(*events: asyncio.Event) -> None:
    """Waits until one of some events is set."""
    waiting: list[asyncio.Task[Any]] = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
