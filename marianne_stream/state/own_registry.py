"""The registry that belongs to a conductor, wherever that keeps it.

Several conductors on one machine are usual: each has a socket and a registry of its own, and the
conductor says which registry is its own (`state_db_path` of `daemon.config`).
"""

import asyncio
import logging
import re
from pathlib import Path

from marianne_stream.conductor.config import ConductorConfig
from marianne_stream.errors import StoreUnreadableError
from marianne_stream.models import JobState, Roster, RosterEntry
from marianne_stream.state.registry import Registry

logger = logging.getLogger(__name__)

DEFAULT_REGISTRY = "~/.marianne/daemon-state.db"
CLONE_SOCKET = re.compile(r"marianne-clone-(.+)\.sock")

ANOTHERS = "The registry that this server is set to read belongs to another conductor."


class OwnRegistry:
    """A source of state: the registry that a conductor names, or a setting.

    A registry that a setting names is not read if the conductor names another file that exists
    here: its jobs would be those of another conductor.

    Args:
        config: what the conductor says; None if no conductor is asked.
        chosen: the registry that a setting names; None if none does.
        socket: the conductor's socket, by which its registry is guessed until it has said more.
    """

    def __init__(
        self, config: ConductorConfig | None, *, chosen: Path | None, socket: Path
    ) -> None:
        self._config = config
        self._chosen = chosen
        self._registry = Registry(chosen or default_registry(socket))
        # What the conductor said when the choice was last made.
        self._told: str | None = None
        self._choosing = asyncio.Lock()
        self._mismatch = ""

    async def roster(self) -> Roster:
        """Read all jobs; as `Registry.roster`."""
        return await (await self.current()).roster()

    async def job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        """Read one job; as `Registry.job`."""
        return await (await self.current()).job(job_id, entry)

    async def close(self) -> None:
        """Wait for reads that are under way."""
        await self._registry.close()

    async def current(self) -> Registry:
        """Return the registry to read.

        Raises:
            StoreUnreadableError: the one that is set belongs to another conductor.
        """
        known = self._config.known if self._config is not None else None
        told = known.state_db_path if known is not None else None
        async with self._choosing:
            if told is not None and told != self._told:
                await self._choose(expanded(told))
                self._told = told
        if self._mismatch:
            raise StoreUnreadableError(self._mismatch, detail=ANOTHERS)
        return self._registry

    async def _choose(self, own: Path) -> None:
        self._mismatch = ""
        if self._chosen is None:
            if own != self._registry.path:
                logger.info("registry path=%s", own)
                await self._registry.close()
                self._registry = Registry(own)
        elif await asyncio.to_thread(are_different, self._chosen, own):
            self._mismatch = (
                f"the registry {self._chosen} is not read: the conductor's own is {own}; "
                "leave the setting out, or name that file"
            )
            logger.warning("%s", self._mismatch)


def default_registry(socket: Path) -> Path:
    """Return where the conductor at a socket keeps its registry by default."""
    clone = CLONE_SOCKET.fullmatch(socket.name)
    path = f"~/.marianne/clone-{clone[1]}-state.db" if clone is not None else DEFAULT_REGISTRY
    return expanded(path)


def expanded(path: str) -> Path:
    """Return a path in the home folder of this process's user, as it is for a user without one."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def are_different(one: Path, other: Path) -> bool:
    """Return True if both files exist and are two. Blocks.

    A path that does not exist here may be the conductor's name for the same file, as in a
    container.
    """
    try:
        return not one.samefile(other)
    except OSError:
        return False
