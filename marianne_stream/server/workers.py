"""Several processes that serve at one address: started together, and again where one fails.

Each has a listening socket of its own at the same port, among which the kernel divides connections
(SO_REUSEPORT, socket(7)). The sockets are this process's: while a worker is started again, who
comes to its socket waits. It must not know what the workers serve.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from marianne_stream.config.settings import Settings
from marianne_stream.server.signals import ignore_signals
from marianne_stream.server.sockets import WORKER_SOCKET_ENV, format_socket_address, open_tcp_socket
from marianne_stream.server.systemd import Notifier
from marianne_stream.wire.backoff import exponential_backoff

logger = logging.getLogger(__name__)

# One that ran for so long was a good one: the next is started at once.
HEALTHY_AFTER_S = 10.0

STATUS_INTERVAL_S = 5.0


class WorkerProcess:
    """One process, for as long as it is wanted.

    Args:
        number: which, from 1.
        sock: where it listens.
        command: what it runs.
    """

    def __init__(self, number: int, sock: socket.socket, command: Sequence[str]) -> None:
        self._number = number
        self._sock = sock
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._is_stopping = False
        self.ready = asyncio.Event()

    async def run(self) -> int:
        """Runs it, and again where it fails; its exit code once it was asked to end."""
        waits = exponential_backoff()
        while True:
            began = time.monotonic()
            code = await self._run_once()
            self.ready.clear()
            if self._is_stopping:
                return code
            if time.monotonic() - began > HEALTHY_AFTER_S:
                waits = exponential_backoff()
            wait_s = next(waits)
            logger.error("worker %d ended with %d: again in %.1f s", self._number, code, wait_s)
            await asyncio.sleep(wait_s)
            if self._is_stopping:
                return code

    def send_signal(self, number: signal.Signals) -> None:
        """Passes a signal on."""
        if number != signal.SIGHUP:
            self._is_stopping = True
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _run_once(self) -> int:
        descriptor = self._sock.fileno()
        # Who tells systemd is this process alone.
        environment = {k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"}
        environment[WORKER_SOCKET_ENV] = str(descriptor)
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=environment,
            pass_fds=(descriptor,),
            # By whose end a worker hears that this process is gone, however it went.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        if self._process.stdout is not None:
            # Its first line says that it listens; the others would say it again for each worker.
            while await self._process.stdout.readline():
                self.ready.set()
        return await self._process.wait()


async def run_workers(
    settings: Settings, command: Sequence[str], announce: Callable[[str], None]
) -> int:
    """Serves by several processes, until SIGTERM or SIGINT.

    Args:
        settings: how many, and where.
        command: what each of them runs, which finds its socket by the environment.
        announce: called with the address, once all of them listen.

    Returns:
        The exit code: 0 where all workers ended well after the signal.

    Raises:
        ListenError: the address cannot be listened on.
    """
    notifier = Notifier()
    with contextlib.ExitStack() as stack:
        stack.callback(notifier.close)
        sockets = list(open_shared_sockets(settings, stack))
        workers = [WorkerProcess(number, sock, command) for number, sock in enumerate(sockets, 1)]
        async with forward_signals(workers):
            running = [asyncio.create_task(worker.run()) for worker in workers]
            alive = asyncio.create_task(run_report_loop(workers, sockets[0], notifier, announce))
            codes = await asyncio.gather(*running)
            alive.cancel()
            await asyncio.wait([alive])
            notifier.stopping()
    return int(any(codes))


def open_shared_sockets(settings: Settings, stack: contextlib.ExitStack) -> Iterator[socket.socket]:
    """A socket for each worker, all of which listen at one address."""
    port = settings.port or 0
    for _ in range(settings.workers):
        sock = stack.enter_context(open_tcp_socket(settings.host, port, reuse_port=True))
        port = sock.getsockname()[1]
        yield sock


async def run_report_loop(
    workers: Sequence[WorkerProcess],
    sock: socket.socket,
    notifier: Notifier,
    announce: Callable[[str], None],
) -> None:
    """Says when all listen, and that this process lives, until it is cancelled."""
    for worker in workers:
        await worker.ready.wait()
    announce(f"marianne-stream listening on {format_socket_address(sock)}")
    notifier.ready()
    while True:
        there = sum(worker.ready.is_set() for worker in workers)
        notifier.status(f"{there} of {len(workers)} workers serve")
        if notifier.watchdog_interval_s is not None:
            notifier.ping_watchdog()
        await asyncio.sleep(
            min(STATUS_INTERVAL_S, notifier.watchdog_interval_s or STATUS_INTERVAL_S)
        )


@contextlib.asynccontextmanager
async def forward_signals(workers: Sequence[WorkerProcess]) -> AsyncIterator[None]:
    """Passes signals on to all workers for as long as the context lasts; ignores them after it."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def pass_on(number: signal.Signals) -> None:
        for worker in workers:
            worker.send_signal(number)

    for number in numbers:
        loop.add_signal_handler(number, pass_on, number)
    try:
        yield
    finally:
        ignore_signals(numbers)
