"""Runs the server in this process: listens, waits for a signal or a fault, and leaves."""

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from marianne_stream.app import BACKGROUND, create_app
from marianne_stream.errors import MarianneStreamError
from marianne_stream.settings import Settings

logger = logging.getLogger(__name__)

# A burst of connections finds room: aiohttp's own 128 makes them wait for a second.
BACKLOG = 4096

HEADER_LIMIT_BYTES = 32 * 1024

# Open files that are no streams: logs, the conductor's connections, answers that end.
RESERVED_DESCRIPTORS = 256

# How long handlers may take to end their streams. A viewer that does not read costs it twice: once
# to be waited for, once to be cancelled.
LEAVE_LIMIT_S = 1.5


class ListenError(MarianneStreamError):
    """The address cannot be listened on."""


async def serve(settings: Settings, *, announce: Callable[[str], None]) -> int:
    """Serves until SIGTERM or SIGINT, or until a part of the server fails.

    Args:
        settings: what to serve, and where.
        announce: called with one line once the server listens.

    Returns:
        The exit code: 0 after a signal, 1 after a fault.

    Raises:
        ListenError: the address cannot be listened on.
    """
    settings = within_descriptors(settings)
    sock = listen(settings.host, settings.port)
    app = create_app(settings)
    # A viewer that leaves is noticed at once, and a line of log a stream says nothing.
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=LEAVE_LIMIT_S,
        # A Last-Event-ID from elsewhere may be long; it is answered like any that is unknown.
        max_field_size=HEADER_LIMIT_BYTES,
        max_line_size=HEADER_LIMIT_BYTES,
    )
    with sock, asked_to_end() as asked:
        await runner.setup()
        try:
            await web.SockSite(runner, sock, backlog=BACKLOG).start()
            # What is there now stays: looking through it again and again would stop the loop for
            # 20 ms each time.
            gc.freeze()
            announce(f"marianne-stream listening on {address(sock)}")
            await first_of(asked, app[BACKGROUND].failed)
        finally:
            await runner.cleanup()
    if (error := app[BACKGROUND].error) is not None:
        logger.critical("ended by a fault: %r", error)
        return 1
    return 0


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


@contextmanager
def asked_to_end() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set, for as long as the context lasts."""
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, asked.set)
    try:
        yield asked
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def first_of(*events: asyncio.Event) -> None:
    """Waits until one of some events is set."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound to an address.

    Raises:
        ListenError: that cannot be done; the message says why.
    """
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(where[:2], family=family, backlog=BACKLOG)
    except socket.gaierror as error:
        raise ListenError(f"cannot listen on {host} port {port}: {error.strerror}") from error
    except UnicodeError as error:
        raise ListenError(f"cannot listen on {host} port {port}: no host has that name") from error
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise ListenError(f"cannot listen on {host} port {port}: {why}") from error


def address(sock: socket.socket) -> str:
    """What to type into a browser."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
