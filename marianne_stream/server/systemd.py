"""Socket activation and service notifications of systemd.

See sd_listen_fds(3) and sd_notify(3). Nothing happens in a process that systemd has not started.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

# First inherited descriptor (sd_listen_fds(3)).
LISTEN_FDS_START = 3

STATUS_INTERVAL_S = 5.0
RETRY_INTERVAL_S = 0.1


def open_passed_sockets() -> list[socket.socket]:
    """Return the listening sockets that systemd passes to this process.

    Removes the variables from the environment, so that child processes do not use them.

    Raises:
        OSError: a passed descriptor is not a socket.
    """
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not (count.isascii() and count.isdecimal()):
        return []
    sockets = []
    for descriptor in range(LISTEN_FDS_START, LISTEN_FDS_START + int(count)):
        sock = socket.socket(fileno=descriptor)
        sock.set_inheritable(False)
        sockets.append(sock)
    return sockets


class Notifier:
    """Sends notifications to systemd."""

    def __init__(self) -> None:
        address = os.environ.pop("NOTIFY_SOCKET", "")
        # An address that begins with @ is abstract (unix(7)).
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        # Non-blocking: a slow reader must not stop the server.
        self._sock.settimeout(0.0)
        interval_us = os.environ.pop("WATCHDOG_USEC", "")
        is_for_this_process = os.environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        # Half of the time limit (sd_watchdog_enabled(3)).
        has_watchdog = is_for_this_process and interval_us.isdigit() and int(interval_us) > 0
        self.watchdog_interval_s = int(interval_us) / 2e6 if has_watchdog else None
        self._status = ""
        # Notifications that did not fit into the socket's buffer.
        self._pending: list[str] = []

    def ready(self) -> None:
        """Report that the service is ready, or has reloaded."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Report that the service is reloading."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Report that the service is stopping."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Report the activity of the service in one line, if it has changed."""
        if text != self._status:
            self._status = text
            self._pending = [item for item in self._pending if not item.startswith("STATUS=")]
            self._send(f"STATUS={text}")

    def _send(self, text: str) -> None:
        if self._address:
            self._pending.append(text)
            self.flush()

    def flush(self) -> None:
        """Send pending notifications, as far as they fit into the socket's buffer."""
        while self._pending:
            text = self._pending[0]
            try:
                self._sock.sendto(text.encode(), self._address)
            except BlockingIOError:
                return
            except OSError as error:
                logger.debug("notification failed text=%r error=%r", text, str(error))
            del self._pending[0]

    async def report(self, describe: Callable[[], str]) -> None:
        """Ping the watchdog and report the status, until cancelled."""
        interval_s = min(STATUS_INTERVAL_S, self.watchdog_interval_s or STATUS_INTERVAL_S)
        while True:
            if self.watchdog_interval_s is not None and not self._pending:
                self._send("WATCHDOG=1")
            self.status(describe())
            self.flush()
            await asyncio.sleep(RETRY_INTERVAL_S if self._pending else interval_s)

    def close(self) -> None:
        """Close the socket; later notifications are dropped."""
        self._address = ""
        self._pending.clear()
        self._sock.close()
