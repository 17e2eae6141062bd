"""Worker processes that serve one port, restarted if they fail.

Each worker has listening sockets of its own on the same port, and the kernel distributes the
connections (SO_REUSEPORT, socket(7)). The parent process keeps the sockets open: connections to a
worker that restarts wait.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from functools import partial

from marianne_stream.common.backoff import Backoff
from marianne_stream.config.settings import Settings
from marianne_stream.server.signals import handle_signals, ignore_signals
from marianne_stream.server.sockets import (
    WORKER_SOCKETS_ENV,
    format_socket_address,
    open_tcp_sockets,
    require_loopback,
)
from marianne_stream.server.systemd import Notifier

logger = logging.getLogger(__name__)

# A worker that ran longer than this resets the backoff.
HEALTHY_AFTER_S = 10.0


class WorkerProcess:
    """A worker process, and its restarts. `ready` is set while it listens."""

    def __init__(
        self, number: int, sockets: Sequence[socket.socket], command: Sequence[str]
    ) -> None:
        self._number = number
        self._sockets = sockets
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._is_stopping = False
        self.ready = asyncio.Event()

    async def run(self) -> int:
        """Run the process, restart it with backoff if it fails, and return its exit code.

        It returns after SIGTERM or SIGINT was sent.
        """
        backoff = Backoff(healthy_after_s=HEALTHY_AFTER_S)
        while True:
            started_at = time.monotonic()
            code = await self._run_once()
            self.ready.clear()
            if self._is_stopping:
                return code
            backoff.session_ended(time.monotonic() - started_at)
            delay_s = backoff.next_delay_s()
            logger.error(
                "worker ended number=%d code=%d restart_in=%.1fs", self._number, code, delay_s
            )
            await asyncio.sleep(delay_s)
            if self._is_stopping:
                return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process; all signals but SIGHUP stop it for good."""
        if number != signal.SIGHUP:
            self._is_stopping = True
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _run_once(self) -> int:
        descriptors = [sock.fileno() for sock in self._sockets]
        # Only the parent notifies systemd.
        environment = {k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"}
        environment[WORKER_SOCKETS_ENV] = ",".join(map(str, descriptors))
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=environment,
            pass_fds=descriptors,
            # Its end of file tells the worker that the parent has died.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        if self._process.stdout is not None:
            # The first line announces that the worker listens. The rest is dropped: the parent
            # prints the announcement.
            while await self._process.stdout.readline():
                self.ready.set()
        return await self._process.wait()


async def run_workers(
    settings: Settings, command: Sequence[str], announce: Callable[[Sequence[str]], None]
) -> int:
    """Serve with several processes until SIGTERM or SIGINT; return the exit code.

    A worker runs `command`, and finds its sockets in the environment. `announce` is called once all
    workers listen, with a line for each address.

    Raises:
        ListenError: an address cannot be listened on.
        SettingsError: `no_auth` is set on a public address, or an address includes another one.
    """
    notifier = Notifier()
    with contextlib.ExitStack() as stack:
        stack.callback(notifier.close)
        sockets = list(open_shared_sockets(settings, stack))
        if settings.no_auth:
            require_loopback(sockets[0])
        workers = [WorkerProcess(number, own, command) for number, own in enumerate(sockets, 1)]
        async with forward_signals(workers):
            running = [asyncio.create_task(worker.run()) for worker in workers]
            alive = asyncio.create_task(run_report_loop(workers, sockets[0], notifier, announce))
            codes = await asyncio.gather(*running)
            alive.cancel()
            await asyncio.wait([alive])
            notifier.stopping()
    return int(any(codes))


def open_shared_sockets(
    settings: Settings, stack: contextlib.ExitStack
) -> Iterator[list[socket.socket]]:
    """Yield the listening sockets of each worker, all on one port."""
    port = settings.port or 0
    for _ in range(settings.workers):
        sockets = open_tcp_sockets(settings.host, port, reuse_port=True)
        for sock in sockets:
            stack.enter_context(sock)
        port = sockets[0].getsockname()[1]
        yield sockets


async def run_report_loop(
    workers: Sequence[WorkerProcess],
    sockets: Iterable[socket.socket],
    notifier: Notifier,
    announce: Callable[[Sequence[str]], None],
) -> None:
    """Announce that all workers listen, then notify systemd until cancelled."""
    for worker in workers:
        await worker.ready.wait()
    announce([f"marianne-stream listening on {format_socket_address(sock)}" for sock in sockets])
    notifier.ready()

    def describe() -> str:
        ready_count = sum(worker.ready.is_set() for worker in workers)
        return f"{ready_count} of {len(workers)} workers are ready"

    await notifier.report(describe)


@contextlib.asynccontextmanager
async def forward_signals(workers: Sequence[WorkerProcess]) -> AsyncIterator[None]:
    """Forward signals to all workers inside the context; ignore them after it."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def pass_on(number: signal.Signals) -> None:
        for worker in workers:
            worker.send_signal(number)

    handle_signals({number: partial(pass_on, number) for number in numbers})
    try:
        yield
    finally:
        ignore_signals(numbers)
