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

from marianne_stream.logs.opening import Descriptor

if sys.platform == "linux":
    from asyncinotify import Event, Inotify, Mask, Watch

logger = logging.getLogger(__name__)

WatchMode = Literal["auto", "inotify", "poll"]

# With inotify, a look without a hint: for what it does not tell, as writes through a mapping.
UNHINTED_S = 2.0

# File systems whose files others change without this kernel's knowledge.
REMOTE = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "virtiofs"}
)


class Alarm:
    """Wakes one follower.

    Args:
        interval_s: how long it sleeps at most.
    """

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wakes the follower, now or at its next wait."""
        self._rung.set()

    async def wait(self, limit_s: float | None = None) -> None:
        """Sleeps until it is rung, or the time is over. Safe to cancel."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.interval_s if limit_s is None else limit_s):
                await self._rung.wait()
        self._rung.clear()


class Watched(NamedTuple):
    """What an alarm hangs on: the numbers of its watches."""

    alarm: Alarm
    watches: tuple[int, ...]


class Alarms:
    """All alarms, on one inotify instance.

    Args:
        mode: `inotify`, `poll`, or `auto`: inotify where it works.
        poll_interval_s: how often is looked where there is no inotify.
    """

    def __init__(self, *, mode: WatchMode = "auto", poll_interval_s: float = 0.25) -> None:
        self.poll_interval_s = poll_interval_s
        self._mode = mode
        self._alarms: dict[int, set[Alarm]] = {}
        self._handles: dict[int, Watch] = {}
        self._notify: Inotify | None = None
        self._complained = False
        self._remote: dict[int, bool] = {}

    async def run(self) -> None:
        """Passes on what inotify says, until cancelled."""
        if self._mode == "poll" or sys.platform != "linux":
            await asyncio.Event().wait()
        try:
            self._notify = Inotify(cache_size=64)
        except OSError as error:
            self._complain(error)
            await asyncio.Event().wait()
            return
        try:
            while True:
                self._pass_on(await self._notify.get())
        finally:
            self._notify.close()
            self._notify = None

    def hang(self, *paths: Descriptor) -> Watched:
        """A new alarm that rings when a file, or what is in a folder, changes."""
        alarm = Alarm(self.poll_interval_s)
        watches = tuple(self._watch(alarm, paths)) if self._notify is not None else ()
        if len(watches) == len(paths):
            alarm.interval_s = UNHINTED_S
        return Watched(alarm, watches)

    def take_down(self, watched: Watched) -> None:
        """Ends an alarm."""
        for number in watched.watches:
            alarms = self._alarms.get(number, set())
            alarms.discard(watched.alarm)
            if alarms:
                continue
            self._alarms.pop(number, None)
            handle = self._handles.pop(number, None)
            if handle is not None and self._notify is not None:
                # It is gone by itself where the file is.
                with contextlib.suppress(OSError):
                    self._notify.rm_watch(handle)

    def _watch(self, alarm: Alarm, paths: Iterable[Descriptor]) -> Iterable[int]:
        if self._notify is None:
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
        for descriptor in paths:
            try:
                if self._mode == "auto" and self._is_remote(descriptor):
                    return
                # The descriptor's own path: the name may lead elsewhere by now.
                handle = self._notify.add_watch(descriptor.path, mask)
            except OSError as error:
                self._complain(error)
                return
            self._handles[handle.wd] = handle
            self._alarms.setdefault(handle.wd, set()).add(alarm)
            yield handle.wd

    def _is_remote(self, descriptor: Descriptor) -> bool:
        """Whether a file lies on another machine: looked up once for each file system."""
        device = os.fstat(descriptor.number).st_dev
        if device not in self._remote:
            self._remote[device] = is_remote(descriptor)
        return self._remote[device]

    def _pass_on(self, event: "Event") -> None:
        watch = event.watch
        if watch is None:
            # The queue ran over: nobody knows who was meant.
            for alarms in list(self._alarms.values()):
                for alarm in alarms:
                    alarm.ring()
            return
        for alarm in self._alarms.get(watch.wd, ()):
            alarm.ring()

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            logger.warning("logs are looked at by the clock, inotify does not work: %s", error)


def is_remote(descriptor: Descriptor) -> bool:
    """Whether a file lies on another machine (proc(5), mountinfo)."""
    info = Path(f"/proc/self/fdinfo/{descriptor.number}").read_text(encoding="ascii")
    mount = next((line.split()[1] for line in info.splitlines() if line.startswith("mnt_id:")), "")
    table = Path("/proc/self/mountinfo").read_bytes().decode("utf-8", "replace")
    for line in table.splitlines():
        fields = line.split()
        if fields[0] == mount:
            kind = fields[fields.index("-") + 1]
            return kind in REMOTE or kind.startswith("fuse.")
    return False
