"""What systemd passes to a service, and what a service tells systemd.

sd_listen_fds(3) and sd_notify(3); nothing happens where the process was started by anything else.
"""

import logging
import os
import socket
import time

logger = logging.getLogger(__name__)

# The first descriptor that is passed (sd_listen_fds(3)).
LISTEN_FDS_START = 3


def open_passed_sockets() -> list[socket.socket]:
    """The sockets that systemd listens on for this process.

    They are taken out of the environment: no child is to believe that they are its own.

    Raises:
        OSError: what was passed is no socket.
    """
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not (count.isascii() and count.isdecimal()):
        return []
    found = []
    for descriptor in range(LISTEN_FDS_START, LISTEN_FDS_START + int(count)):
        sock = socket.socket(fileno=descriptor)
        sock.set_inheritable(False)
        found.append(sock)
    return found


class Notifier:
    """Tells systemd how the service is.

    Attributes:
        watchdog_interval_s: how often it wants to hear that the service lives; None for never.
    """

    def __init__(self) -> None:
        address = os.environ.pop("NOTIFY_SOCKET", "")
        # An address that begins with @ has no file.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        # Nobody who reads slowly holds up the server.
        self._sock.settimeout(0.0)
        interval_us = os.environ.pop("WATCHDOG_USEC", "")
        for_us = os.environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        # Twice in the time that it waits (sd_watchdog_enabled(3)).
        given = for_us and interval_us.isdigit() and int(interval_us) > 0
        self.watchdog_interval_s = int(interval_us) / 2e6 if given else None
        self._status = ""
        # What there was no room for yet, in its order.
        self._pending: list[str] = []

    @property
    def has_pending(self) -> bool:
        """Whether something is still to be told, by `flush`."""
        return bool(self._pending)

    def ready(self) -> None:
        """The service can be used, or has read its settings again."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The service reads its settings again."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The service begins to end."""
        self._send("STOPPING=1")

    def ping_watchdog(self) -> None:
        """The service lives."""
        if not self._pending:
            self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """What the service does, in one line; said where it is not what was said before."""
        if text != self._status:
            self._status = text
            self._pending = [owed for owed in self._pending if not owed.startswith("STATUS=")]
            self._send(f"STATUS={text}")

    def _send(self, text: str) -> None:
        if self._address:
            self._pending.append(text)
            self.flush()

    def flush(self) -> None:
        """Tells what there was no room for before: others write to the same queue."""
        while self._pending:
            text = self._pending[0]
            try:
                self._sock.sendto(text.encode(), self._address)
            except BlockingIOError:
                return
            except OSError as error:
                logger.debug("systemd was not told %r: %s", text, error)
            del self._pending[0]

    def close(self) -> None:
        """Nothing is told any more."""
        self._address = ""
        self._pending.clear()
        self._sock.close()
