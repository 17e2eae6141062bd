"""Server process: listens, waits for a signal or a failure, and shuts down."""

import asyncio
import contextlib
import logging
import resource
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from marianne_stream.app import (
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
from marianne_stream.server.signals import SignalHandlers
from marianne_stream.server.sockets import (
    BACKLOG,
    ListenError,
    format_socket_address,
    is_worker,
    open_tcp_sockets,
    open_unix_socket,
    open_worker_sockets,
    require_listening,
    require_loopback,
    require_unix,
    set_stream_socket_options,
    unlink_if_ours,
)
from marianne_stream.server.systemd import Notifier, open_passed_sockets
from marianne_stream.version import VERSION
from marianne_stream.web.app_keys import AUTHENTICATOR, STREAM_REGISTRY
from marianne_stream.web.http_server import LimitedAppRunner

logger = logging.getLogger(__name__)

# File descriptors that are not available to streams: other connections, logs, the conductor.
RESERVED_FDS = 256

# Connections that are accepted in one iteration of the loop: each one takes a descriptor before it
# can be rejected. (asyncio accepts as many as the backlog that it is given.)
ACCEPT_BATCH_SIZE = 16


async def serve(
    settings: Settings,
    *,
    announce: Callable[[Sequence[str]], None],
    load_settings: Callable[[], Settings] | None = None,
    settings_file: Path | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT, or until a background task fails. Return the exit code.

    SIGHUP reloads the tokens and the log level. `announce` is called once the server listens, with
    a line for each address, and one with a login link if the token is generated. `settings_file` is
    named in the log.

    Raises:
        ListenError: an address cannot be listened on.
        SettingsError: the tokens cannot be read or generated, `no_auth` is set on a public
            address, no client could be trusted with the headers of single sign-on, or an address
            includes another one.
    """
    settings = clamp_to_fd_limit(settings)
    notifier = Notifier()
    is_worker_process = is_worker()
    with contextlib.ExitStack() as stack:
        stack.callback(notifier.close)
        sockets = open_sockets(settings, stack)
        if settings.no_auth:
            require_loopback(sockets)
        if settings.auth_user_header is not None and settings.auth_header_secret_file is None:
            require_unix(sockets)
        app = create_app(settings)
        runner = make_runner(app, settings)
        signals = stack.enter_context(SignalHandlers(partial(abort, app, runner)).install())
        if is_worker_process:
            stack.enter_context(signals.stop_when_pipe_closes(sys.stdin.fileno()))
        asyncio.get_running_loop().set_exception_handler(app[TASKS].handle_loop_exception)
        await runner.setup()
        try:
            sites = [await start_site(runner, sock) for sock in sockets]
            reload_loop = run_reload_loop(app, signals.reload_requested, notifier, load_settings)
            app[TASKS].start("signals", reload_loop)
            app[TASKS].start("systemd", notifier.report(partial(status_line, app)))
            tune_gc()
            announce(list(startup_messages(app, settings, sockets)))
            log_server_started(sockets, settings_file)
            notifier.ready()
            await wait_any(signals.stop_requested, app[TASKS].failed)
            notifier.stopping()
            await stop_serving(runner, sites, signals, drain_timeout_s=settings.drain_timeout_s)
        finally:
            await runner.cleanup()
    # A task may also have failed during the shutdown.
    return exit_code(app[TASKS].error)


async def stop_serving(
    runner: LimitedAppRunner,
    sites: Sequence[web.SockSite],
    signals: SignalHandlers,
    *,
    drain_timeout_s: float,
) -> None:
    """Stop listening; then, unless a task has failed, shut down gracefully."""
    app = runner.app
    has_failed = app[TASKS].error is not None
    reason = "fault" if has_failed else signals.reason
    logger.info("server stopping reason=%s streams=%d", reason, len(app[STREAM_REGISTRY]))
    for site in sites:
        await site.stop()
    runner.limited_server.close_when_idle()
    if not has_failed:
        await shutdown(app, drain_timeout_s=drain_timeout_s, force=signals.force_requested)


def exit_code(error: BaseException | None) -> int:
    """Log the end of the server, and return the exit code."""
    if error is not None:
        logger.critical("server failed error=%r", error)
        return 1
    logger.info("server stopped")
    return 0


def log_server_started(sockets: Iterable[socket.socket], settings_file: Path | None) -> None:
    """Log that the server has started: its version, its settings file, its addresses."""
    logger.info(
        "server started version=%s settings_file=%s addresses=%s",
        VERSION,
        settings_file or "none",
        ",".join(map(format_socket_address, sockets)) or "none",
    )


def open_sockets(settings: Settings, stack: contextlib.ExitStack) -> list[socket.socket]:
    """Open the listening sockets, which `stack` closes.

    A worker inherits its sockets from its parent, and a service may inherit sockets from systemd;
    otherwise the settings decide.

    Raises:
        ListenError: an address cannot be listened on.
        SettingsError: the settings name no address, or one that includes another one.
    """
    if inherited := open_worker_sockets():
        return [stack.enter_context(sock) for sock in inherited]
    try:
        sockets = open_passed_sockets()
    except OSError as error:
        raise ListenError(f"systemd passed an invalid socket: {error.strerror}") from error
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
        tcp_sockets = open_tcp_sockets(settings.host, settings.port)
        sockets[:0] = [stack.enter_context(sock) for sock in tcp_sockets]
    if not sockets and settings.publish_url is None:
        raise SettingsError("port none leaves no address to listen on: set uds, or a port")
    return sockets


async def start_site(runner: web.AppRunner, sock: socket.socket) -> web.SockSite:
    """Start to accept connections on a socket."""
    site = web.SockSite(runner, sock, backlog=ACCEPT_BATCH_SIZE)
    await site.start()
    # The site has set the backlog to the batch size.
    sock.listen(BACKLOG)
    return site


def startup_messages(
    app: web.Application, settings: Settings, sockets: Sequence[socket.socket]
) -> Iterator[str]:
    """Yield the lines to print at start-up: the addresses, and a login link if needed.

    Also logs a warning for each public address: the server itself has no TLS.
    """
    for sock in sockets:
        yield f"marianne-stream listening on {format_socket_address(sock)}"
    if not sockets:
        yield f"marianne-stream publishes as {settings.source_name}"
    tcp_sockets = [sock for sock in sockets if sock.family != socket.AF_UNIX]
    for sock in tcp_sockets:
        host = sock.getsockname()[0]
        if not settings.no_auth and host not in ("127.0.0.1", "::1"):
            logger.warning(
                "listening without TLS host=%s: tokens are sent in clear text; use a TLS proxy",
                host,
            )
    authenticator = app[AUTHENTICATOR]
    if authenticator is None or not tcp_sockets:
        return
    # Not into the system's log at each start: a generated token is only new once.
    source = authenticator.token_source
    if source.is_newly_generated or (source.is_generated and sys.stdout.isatty()):
        address = login_address(settings, tcp_sockets[0])
        yield f"Sign in, once, with: {address}/login?code={authenticator.issue_login_link()}"


def login_address(settings: Settings, sock: socket.socket) -> str:
    """Return the address that a login link begins with: with a root_path, that of the proxy."""
    if not settings.root_path:
        return format_socket_address(sock)
    return (settings.public_url or settings.root_path).rstrip("/")


def clamp_to_fd_limit(settings: Settings) -> Settings:
    """Return the settings with `max_streams` reduced to the limit of open files.

    Raises the soft limit to the hard limit first (getrlimit(2)).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or settings.max_streams <= hard - RESERVED_FDS:
        return settings
    allowed = max(1, hard - RESERVED_FDS)
    logger.warning(
        "max_streams reduced from=%d to=%d open_files_limit=%d",
        *(settings.max_streams, allowed, hard),
    )
    return settings.model_copy(update={"max_streams": allowed})


async def run_reload_loop(
    app: web.Application,
    reload_requested: asyncio.Event,
    notifier: Notifier,
    load_settings: Callable[[], Settings] | None,
) -> None:
    """Reload the tokens and the log level on request, until cancelled."""
    while True:
        await reload_requested.wait()
        reload_requested.clear()
        notifier.reloading()
        try:
            reload(app, load_settings)
        except MarianneStreamError as error:
            logger.error(  # noqa: TRY400 - not a fault of the program
                "reload failed, keeping the current tokens and log level error=%r", str(error)
            )
        notifier.ready()


def reload(app: web.Application, load_settings: Callable[[], Settings] | None) -> None:
    """Reload the tokens and the log level; raise SettingsError if one cannot be read."""
    settings = load_settings() if load_settings is not None else None
    authenticator = app[AUTHENTICATOR]
    if authenticator is not None:
        authenticator.reload()
    if settings is not None:
        set_log_level(settings.log_level)
        logger.info("log level reloaded level=%s", settings.log_level)
    if authenticator is not None:
        logger.info("tokens reloaded source=%r", authenticator.token_source.description)


async def wait_any(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    waiting: list[asyncio.Task[Any]] = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
