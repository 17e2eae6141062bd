"""Says when to look at a file again: by inotify(7) where that works, else by the clock.

An alarm is a hint: whoever is woken looks for himself. It must not know what is looked for.
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from marianne_stream.logs.safe_open import OwnedFd

if sys.platform == "linux":
    from asyncinotify import Event, Inotify, Mask, Watch

logger = logging.getLogger(__name__)

WatchMode = Literal["auto", "inotify", "poll"]

# With inotify, a look without a hint: for what it does not tell, as writes through a mapping.
SAFETY_POLL_S = 2.0

# File systems whose files others change without this kernel's knowledge.
NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "virtiofs"}
)


class WakeUp:
    """Wakes one follower.

    Args:
        interval_s: how long it sleeps at most.
    """

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wakes the follower, now or at its next wait."""
        self._event.set()

    async def wait(self, timeout_s: float | None = None) -> None:
        """Sleeps until it is rung, or the time is over. Safe to cancel."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.interval_s if timeout_s is None else timeout_s):
                await self._event.wait()
        self._event.clear()


class WatchHandle(NamedTuple):
    """What an alarm hangs on: the numbers of its watches."""

    wake_up: WakeUp
    watch_ids: tuple[int, ...]


class FileWatcher:
    """All alarms, on one inotify instance.

    Args:
        mode: `inotify`, `poll`, or `auto`: inotify where it works.
        poll_interval_s: how often is looked where there is no inotify.
    """

    def __init__(self, *, mode: WatchMode = "auto", poll_interval_s: float = 0.25) -> None:
        self.poll_interval_s = poll_interval_s
        self._mode = mode
        self._wake_ups: dict[int, set[WakeUp]] = {}
        self._inotify_watches: dict[int, Watch] = {}
        self._inotify: Inotify | None = None
        self._has_warned = False
        self._is_network_device: dict[int, bool] = {}

    async def run(self) -> None:
        """Passes on what inotify says, until cancelled."""
        if self._mode == "poll" or sys.platform != "linux":
            await asyncio.Event().wait()
        try:
            self._inotify = Inotify(cache_size=64)
        except OSError as error:
            self._warn_once(error)
            await asyncio.Event().wait()
            return
        try:
            while True:
                self._dispatch(await self._inotify.get())
        finally:
            self._inotify.close()
            self._inotify = None

    def watch(self, *descriptors: OwnedFd) -> WatchHandle:
        """A new alarm that rings when a file, or what is in a folder, changes."""
        alarm = WakeUp(self.poll_interval_s)
        watches = tuple(self._add_watches(alarm, descriptors)) if self._inotify is not None else ()
        if len(watches) == len(descriptors):
            alarm.interval_s = SAFETY_POLL_S
        return WatchHandle(alarm, watches)

    def unwatch(self, watch_handle: WatchHandle) -> None:
        """Ends an alarm."""
        for number in watch_handle.watch_ids:
            alarms = self._wake_ups.get(number, set())
            alarms.discard(watch_handle.wake_up)
            if alarms:
                continue
            self._wake_ups.pop(number, None)
            handle = self._inotify_watches.pop(number, None)
            if handle is not None and self._inotify is not None:
                # It is gone by itself where the file is.
                with contextlib.suppress(OSError):
                    self._inotify.rm_watch(handle)

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
                # The descriptor's own path: the name may lead elsewhere by now.
                handle = self._inotify.add_watch(descriptor.proc_path, mask)
            except OSError as error:
                self._warn_once(error)
                return
            self._inotify_watches[handle.wd] = handle
            self._wake_ups.setdefault(handle.wd, set()).add(wake_up)
            yield handle.wd

    def _is_on_network(self, descriptor: OwnedFd) -> bool:
        """Whether a file lies on another machine: looked up once for each file system."""
        device = os.fstat(descriptor.fd).st_dev
        if device not in self._is_network_device:
            self._is_network_device[device] = is_on_network_filesystem(descriptor)
        return self._is_network_device[device]

    def _dispatch(self, event: "Event") -> None:
        watch = event.watch
        if watch is None:
            # The queue ran over: nobody knows who was meant.
            for alarms in list(self._wake_ups.values()):
                for alarm in alarms:
                    alarm.set()
            return
        for alarm in self._wake_ups.get(watch.wd, ()):
            alarm.set()

    def _warn_once(self, error: OSError) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning("logs are looked at by the clock, inotify does not work: %s", error)


def is_on_network_filesystem(descriptor: OwnedFd) -> bool:
    """Whether a file lies on another machine (proc(5), mountinfo)."""
    info = Path(f"/proc/self/fdinfo/{descriptor.fd}").read_text(encoding="ascii")
    mount = next((line.split()[1] for line in info.splitlines() if line.startswith("mnt_id:")), "")
    table = Path("/proc/self/mountinfo").read_bytes().decode("utf-8", "replace")
    for line in table.splitlines():
        fields = line.split()
        if fields[0] == mount:
            kind = fields[fields.index("-") + 1]
            return kind in NETWORK_FILESYSTEMS or kind.startswith("fuse.")
    return False
