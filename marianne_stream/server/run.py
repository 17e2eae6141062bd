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

from marianne_stream.app import (
    AUTHENTICATOR,
    TASKS,
    abort,
    create_app,
    make_runner,
    shutdown,
    status_line,
)
from marianne_stream.config.logging_config import set_log_level
from marianne_stream.config.settings import Settings
from marianne_stream.errors import MarianneStreamError, SettingsError
from marianne_stream.server.memory import tune_gc
from marianne_stream.server.signals import ignore_signals
from marianne_stream.server.sockets import (
    BACKLOG,
    ListenError,
    format_socket_address,
    is_worker,
    open_tcp_socket,
    open_unix_socket,
    open_worker_socket,
    require_listening,
    require_loopback,
    set_stream_socket_options,
    unlink_if_ours,
)
from marianne_stream.server.systemd import Notifier, open_passed_sockets
from marianne_stream.version import VERSION
from marianne_stream.web.app_keys import STREAM_REGISTRY

logger = logging.getLogger(__name__)

# Open files that are no streams: other connections, and those that are about to be refused; logs,
# and the conductor's connections.
RESERVED_FDS = 256

# How many connections are accepted in one turn of the loop: they are files before they can be
# refused. (asyncio makes this of the backlog that it is given.)
ACCEPT_BATCH_SIZE = 16

STATUS_INTERVAL_S = 5.0
NOTIFY_RETRY_S = 0.1

# After the second signal, clients that read have so long to take what they are sent.
FORCE_GRACE_S = 0.2


async def serve(
    settings: Settings,
    *,
    announce: Callable[[str], None],
    load_settings: Callable[[], Settings] | None = None,
    settings_file: Path | None = None,
) -> int:
    """Serves until SIGTERM or SIGINT, or until a part of the server fails.

    SIGHUP has tokens and the log's level read again.

    Args:
        settings: what to serve, and where.
        announce: called with a line for each address, once the server listens, and with how to sign
            in where the server's token is its own.
        load_settings: gives the settings anew.
        settings_file: where the settings were read; None if no file was named.

    Returns:
        The exit code: 0 after a signal, 1 after a fault.

    Raises:
        ListenError: an address cannot be listened on.
        SettingsError: the tokens cannot be read or made, or would not be asked for where they must.
    """
    settings = clamp_to_fd_limit(settings)
    notifier = Notifier()
    as_worker = is_worker()
    with contextlib.ExitStack() as stack:
        stack.callback(notifier.close)
        sockets = open_sockets(settings, stack)
        if settings.no_auth:
            require_loopback(sockets)
        app = create_app(settings)
        runner = make_runner(app, settings)
        signals = stack.enter_context(SignalHandlers(partial(abort, app, runner)).install())
        if as_worker:
            stack.enter_context(signals.stop_when_pipe_closes(sys.stdin.fileno()))
        background = app[TASKS]
        asyncio.get_running_loop().set_exception_handler(background.handle_loop_exception)
        await runner.setup()
        try:
            sites = [await start_site(runner, sock) for sock in sockets]
            background.start("signals", signals.run_reload_loop(app, notifier, load_settings))
            background.start("systemd", run_systemd_loop(app, notifier))
            tune_gc()
            for line in startup_messages(app, settings, sockets):
                announce(line)
            log_server_started(sockets, settings_file)
            notifier.ready()
            await wait_any(signals.stop_requested, background.failed)
            notifier.stopping()
            reason = signals.reason if background.error is None else "fault"
            logger.info("server stopping reason=%s streams=%d", reason, len(app[STREAM_REGISTRY]))
            for site in sites:
                await site.stop()
            runner.limited_server.close_when_idle()
            if background.error is None:
                await shutdown(
                    app, drain_timeout_s=settings.drain_timeout_s, force=signals.force_requested
                )
        finally:
            await runner.cleanup()
    # One that came while it left counts, too.
    if background.error is not None:
        logger.critical("ended by a fault: %r", background.error)
        return 1
    logger.info("server stopped")
    return 0


def log_server_started(sockets: Iterable[socket.socket], settings_file: Path | None) -> None:
    """Log that the server has started: its version, where its settings are, where it listens."""
    logger.info(
        "server started version=%s settings_file=%s addresses=%s",
        *(
            VERSION,
            settings_file or "none",
            ",".join(map(format_socket_address, sockets)) or "none",
        ),
    )


def open_sockets(settings: Settings, stack: contextlib.ExitStack) -> list[socket.socket]:
    """The sockets to listen on, which the stack closes; raises as `serve` does."""
    if (own := open_worker_socket()) is not None:
        return [stack.enter_context(own)]
    try:
        sockets = open_passed_sockets()
    except OSError as error:
        raise ListenError(f"what systemd passes is no socket: {error.strerror}") from error
    for sock in sockets:
        stack.enter_context(sock)
        require_listening(sock)
        set_stream_socket_options(sock)
    if sockets:
        return sockets
    if settings.uds is not None:
        sock = stack.enter_context(open_unix_socket(settings.uds, int(settings.uds_mode, 8)))
        stack.callback(unlink_if_ours, settings.uds, settings.uds.lstat().st_ino)
        sockets.append(sock)
    if settings.port is not None:
        sockets.insert(0, stack.enter_context(open_tcp_socket(settings.host, settings.port)))
    if not sockets and settings.publish_url is None:
        raise SettingsError("port none leaves nowhere to listen: unix names a Unix socket")
    return sockets


async def start_site(runner: web.AppRunner, sock: socket.socket) -> web.SockSite:
    """Accepts what connects to a socket."""
    site = web.SockSite(runner, sock, backlog=ACCEPT_BATCH_SIZE)
    await site.start()
    # More may wait to be accepted.
    sock.listen(BACKLOG)
    return site


def startup_messages(
    app: web.Application, settings: Settings, sockets: list[socket.socket]
) -> Iterator[str]:
    """What a person is told first: where it listens, and how to sign in."""
    for sock in sockets:
        yield f"marianne-stream listening on {format_socket_address(sock)}"
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
    keeper = app[AUTHENTICATOR]
    tcp = [sock for sock in sockets if sock.family != socket.AF_UNIX]
    # A log of the system is no place for it, at each start: the token is there by then.
    if (
        keeper is not None
        and tcp
        and (keeper.is_newly_generated or (keeper.is_generated and sys.stdout.isatty()))
    ):
        address = format_socket_address(tcp[0])
        yield f"Sign in, once, with: {address}/login?code={keeper.issue_login_link()}"


def clamp_to_fd_limit(settings: Settings) -> Settings:
    """The settings, with no more streams than this process may open files for.

    The limit of open files (getrlimit(2)) is raised as far as that is allowed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or settings.max_streams <= hard - RESERVED_FDS:
        return settings
    allowed = max(1, hard - RESERVED_FDS)
    logger.warning(
        "max_streams is %d and not %d: this process may open no more than %d files",
        *(allowed, settings.max_streams, hard),
    )
    return settings.model_copy(update={"max_streams": allowed})


class SignalHandlers:
    """What the process is told from outside.

    Args:
        abort: ends all that is open at once; called soon after the second SIGTERM or SIGINT.

    Attributes:
        stop_requested: set by the first SIGTERM or SIGINT.
        force_requested: set by the second.
        reload_requested: set by SIGHUP.
        reason: what asked first.
    """

    def __init__(self, abort: Callable[[], None]) -> None:
        self._abort = abort
        self.stop_requested = asyncio.Event()
        self.force_requested = asyncio.Event()
        self.reload_requested = asyncio.Event()
        self.reason = ""

    @contextmanager
    def install(self) -> Iterator["SignalHandlers"]:
        """Catches signals for as long as the context lasts, and ignores them after it was asked.

        What is left of leaving is not to be cut off by a signal that is sent once more.
        """
        loop = asyncio.get_running_loop()
        actions: Mapping[int, Callable[[], None]] = {
            signal.SIGTERM: partial(self._request_stop, "SIGTERM"),
            signal.SIGINT: partial(self._request_stop, "SIGINT"),
            signal.SIGHUP: self.reload_requested.set,
        }
        for number, action in actions.items():
            loop.add_signal_handler(number, action)
        try:
            yield self
        finally:
            if self.stop_requested.is_set():
                ignore_signals(actions)
            else:
                for number in actions:
                    loop.remove_signal_handler(number)

    @contextmanager
    def stop_when_pipe_closes(self, descriptor: int) -> Iterator[None]:
        """Takes the end of a pipe for a signal: who held its other end is gone."""
        loop = asyncio.get_running_loop()

        def look() -> None:
            if not os.read(descriptor, 1):
                loop.remove_reader(descriptor)
                self._request_stop("parent_gone")

        loop.add_reader(descriptor, look)
        try:
            yield
        finally:
            loop.remove_reader(descriptor)

    def _request_stop(self, reason: str) -> None:
        self.reason = self.reason or reason
        if self.stop_requested.is_set():
            self.force_requested.set()
            # Wherever it is in its leaving, a client that does not read would be waited for.
            asyncio.get_running_loop().call_later(FORCE_GRACE_S, self._abort)
        self.stop_requested.set()

    async def run_reload_loop(
        self, app: web.Application, notifier: Notifier, load_settings: Callable[[], Settings] | None
    ) -> None:
        """Reads tokens and the log's level again at each SIGHUP, until it is cancelled."""
        while True:
            await self.reload_requested.wait()
            self.reload_requested.clear()
            notifier.reloading()
            try:
                reload(app, load_settings)
            except MarianneStreamError as error:
                logger.error("nothing is changed by SIGHUP: %s", error)  # noqa: TRY400 - no fault
            notifier.ready()


def reload(app: web.Application, load_settings: Callable[[], Settings] | None) -> None:
    """Reads tokens and the log's level again.

    Raises:
        SettingsError: one of them cannot be read.
    """
    settings = load_settings() if load_settings is not None else None
    keeper = app[AUTHENTICATOR]
    if keeper is not None:
        keeper.reload()
    if settings is not None:
        set_log_level(settings.log_level)
        logger.info("read the log's level again")
    if keeper is not None:
        logger.info("read the tokens again: %s", keeper.source_description)


async def run_systemd_loop(app: web.Application, notifier: Notifier) -> None:
    """Tells systemd that the loop turns, and what it does, until it is cancelled."""
    interval_s = min(STATUS_INTERVAL_S, notifier.watchdog_interval_s or STATUS_INTERVAL_S)
    while True:
        if notifier.watchdog_interval_s is not None:
            notifier.ping_watchdog()
        notifier.status(status_line(app))
        notifier.flush()
        await asyncio.sleep(NOTIFY_RETRY_S if notifier.has_pending else interval_s)


async def wait_any(*events: asyncio.Event) -> None:
    """Waits until one of some events is set."""
    waiting: list[asyncio.Task[Any]] = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
