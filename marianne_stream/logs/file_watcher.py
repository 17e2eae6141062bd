"""File watcher: wakes followers by inotify(7), or by polling where inotify does not work.

A wake-up is a hint and may be spurious: the follower reads the file to find out.
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from marianne_stream.common.repeated_logs import WarnOnce
from marianne_stream.logs.safe_open import OwnedFd

if sys.platform == "linux":
    from asyncinotify import Event, Inotify, Mask, Watch

logger = logging.getLogger(__name__)

WatchMode = Literal["auto", "inotify", "poll"]

# Poll interval beside inotify, which does not report writes through a memory mapping.
SAFETY_POLL_S = 2.0

# File systems whose files other machines change without an event on this one.
NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "virtiofs"}
)


class WakeUp:
    """Wake-up of one follower, at the latest after `interval_s`."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake the follower now, or at its next wait."""
        self._event.set()

    async def wait(self, timeout_s: float | None = None) -> None:
        """Wait for a wake-up, at most `timeout_s` or else `interval_s`. Cancelling is safe."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.interval_s if timeout_s is None else timeout_s):
                await self._event.wait()
        self._event.clear()


class WatchHandle(NamedTuple):
    """A follower's wake-up and the numbers of its inotify watches."""

    wake_up: WakeUp
    watch_ids: tuple[int, ...]


class FileWatcher:
    """Watches of all followers, on one inotify instance.

    In mode `auto`, files of network file systems are polled, and all others watched by inotify.
    """

    def __init__(self, *, mode: WatchMode = "auto", poll_interval_s: float = 0.25) -> None:
        self.poll_interval_s = poll_interval_s
        self._mode = mode
        self._wake_ups: dict[int, set[WakeUp]] = {}
        self._inotify_watches: dict[int, Watch] = {}
        self._inotify: Inotify | None = None
        self._inotify_warning = WarnOnce(logger)
        self._is_network_device: dict[int, bool] = {}

    async def run(self) -> None:
        """Dispatch inotify events until cancelled."""
        if self._mode == "poll" or sys.platform != "linux":
            await asyncio.Event().wait()
        try:
            self._inotify = Inotify(cache_size=64)
        except OSError as error:
            self._warn(error)
            await asyncio.Event().wait()
            return
        try:
            while True:
                self._dispatch(await self._inotify.get())
        finally:
            self._inotify.close()
            self._inotify = None

    def watch(self, *descriptors: OwnedFd) -> WatchHandle:
        """Watch open files and folders. The handle must be given to `unwatch`."""
        wake_up = WakeUp(self.poll_interval_s)
        watches = (
            tuple(self._add_watches(wake_up, descriptors)) if self._inotify is not None else ()
        )
        if len(watches) == len(descriptors):
            wake_up.interval_s = SAFETY_POLL_S
        return WatchHandle(wake_up, watches)

    def unwatch(self, watch_handle: WatchHandle) -> None:
        """Stop watching."""
        for watch_id in watch_handle.watch_ids:
            wake_ups = self._wake_ups.get(watch_id, set())
            wake_ups.discard(watch_handle.wake_up)
            if wake_ups:
                continue
            self._wake_ups.pop(watch_id, None)
            watch = self._inotify_watches.pop(watch_id, None)
            if watch is not None and self._inotify is not None:
                # The kernel has removed the watch of a deleted file.
                with contextlib.suppress(OSError):
                    self._inotify.rm_watch(watch)

    def _add_watches(self, wake_up: WakeUp, descriptors: Iterable[OwnedFd]) -> Iterable[int]:
        if self._inotify is None:
            return
        mask = (
            Mask.MODIFY
            | Mask.CREATE
            | Mask.MOVED_FROM
            | Mask.MOVED_TO
            | Mask.DELETE
            | Mask.DELETE_SELF
            | Mask.MOVE_SELF
            | Mask.ATTRIB
        )
        for descriptor in descriptors:
            try:
                if self._mode == "auto" and self._is_on_network(descriptor):
                    return
                # The name may lead to another file by now; the descriptor does not.
                watch = self._inotify.add_watch(descriptor.proc_path, mask)
            except OSError as error:
                self._warn(error)
                return
            self._inotify_watches[watch.wd] = watch
            self._wake_ups.setdefault(watch.wd, set()).add(wake_up)
            yield watch.wd

    def _is_on_network(self, descriptor: OwnedFd) -> bool:
        """Return whether a file is on a network file system; looked up once for each device."""
        device = os.fstat(descriptor.fd).st_dev
        if device not in self._is_network_device:
            self._is_network_device[device] = is_on_network_filesystem(descriptor)
        return self._is_network_device[device]

    def _dispatch(self, event: "Event") -> None:
        watch = event.watch
        if watch is None:
            # Queue overflow (inotify(7)): events were lost, so wake everybody.
            for wake_ups in list(self._wake_ups.values()):
                for wake_up in wake_ups:
                    wake_up.set()
            return
        for wake_up in self._wake_ups.get(watch.wd, ()):
            wake_up.set()

    def _warn(self, error: OSError) -> None:
        self._inotify_warning.warn("inotify unavailable fallback=poll error=%r", error.strerror)


def is_on_network_filesystem(descriptor: OwnedFd) -> bool:
    """Return whether a file is on a network file system (proc(5), mountinfo)."""
    info = Path(f"/proc/self/fdinfo/{descriptor.fd}").read_text(encoding="ascii")
    mount = next((line.split()[1] for line in info.splitlines() if line.startswith("mnt_id:")), "")
    table = Path("/proc/self/mountinfo").read_bytes().decode("utf-8", "replace")
    for line in table.splitlines():
        fields = line.split()
        if fields[0] == mount:
            kind = fields[fields.index("-") + 1]
            return kind in NETWORK_FILESYSTEMS or kind.startswith("fuse.")
    return False
