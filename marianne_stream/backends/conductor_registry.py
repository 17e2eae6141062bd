"""The registry that belongs to a conductor, wherever that keeps it.

Several conductors on one machine are usual: each has a socket and a registry of its own, and the
conductor says which registry is its own (`state_db_path` of `daemon.config`).
"""

import asyncio
import logging
import re
from pathlib import Path

from marianne_stream.backends.registry import RegistryBackend
from marianne_stream.conductor.daemon_config import DaemonConfigCache
from marianne_stream.errors import StateUnreadableError
from marianne_stream.models import JobState, Roster, RosterEntry

logger = logging.getLogger(__name__)

DEFAULT_REGISTRY_PATH = "~/.marianne/daemon-state.db"
CLONE_SOCKET_NAME = re.compile(r"marianne-clone-(.+)\.sock")

WRONG_REGISTRY_DETAIL = "The registry that this server is set to read belongs to another conductor."


class ConductorRegistryBackend:
    """A source of state: the registry that a conductor names, or a setting.

    A registry that a setting names is not read if the conductor names another file that exists
    here: its jobs would be those of another conductor.

    Args:
        daemon_config: what the conductor says; None if no conductor is asked.
        configured_path: the registry that a setting names; None if none does.
        socket_path: the conductor's socket, by which its registry is guessed until it has said
            more.
    """

    def __init__(
        self,
        daemon_config: DaemonConfigCache | None,
        *,
        configured_path: Path | None,
        socket_path: Path,
    ) -> None:
        self._daemon_config = daemon_config
        self._configured_path = configured_path
        self._registry = RegistryBackend(configured_path or default_registry_path(socket_path))
        # What the conductor said when the choice was last made.
        self._selected_db_path: str | None = None
        self._selection_lock = asyncio.Lock()
        self._mismatch_error = ""

    async def read_roster(self) -> Roster:
        """Read all jobs; as `RegistryBackend.read_roster`."""
        return await (await self.get_registry()).read_roster()

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        """Read one job; as `RegistryBackend.read_job`."""
        return await (await self.get_registry()).read_job(job_id, entry)

    async def close(self) -> None:
        """Wait for reads that are under way."""
        await self._registry.close()

    async def get_registry(self) -> RegistryBackend:
        """Return the registry to read.

        Raises:
            StoreUnreadableError: the one that is set belongs to another conductor.
        """
        known = self._daemon_config.value if self._daemon_config is not None else None
        told = known.state_db_path if known is not None else None
        async with self._selection_lock:
            if told is not None and told != self._selected_db_path:
                await self._select_registry(expand_home(told))
                self._selected_db_path = told
        if self._mismatch_error:
            raise StateUnreadableError(self._mismatch_error, detail=WRONG_REGISTRY_DETAIL)
        return self._registry

    async def _select_registry(self, conductor_path: Path) -> None:
        self._mismatch_error = ""
        if self._configured_path is None:
            if conductor_path != self._registry.path:
                logger.info("registry path=%s", conductor_path)
                await self._registry.close()
                self._registry = RegistryBackend(conductor_path)
        elif await asyncio.to_thread(are_different_files, self._configured_path, conductor_path):
            self._mismatch_error = (
                f"the registry {self._configured_path} is not read: the conductor's own is "
                f"{conductor_path}; "
                "leave the setting out, or name that file"
            )
            logger.warning("%s", self._mismatch_error)


def default_registry_path(socket_path: Path) -> Path:
    """Return where the conductor at a socket keeps its registry by default."""
    clone = CLONE_SOCKET_NAME.fullmatch(socket_path.name)
    path = f"~/.marianne/clone-{clone[1]}-state.db" if clone is not None else DEFAULT_REGISTRY_PATH
    return expand_home(path)


def expand_home(path: str) -> Path:
    """Return a path in the home folder of this process's user, as it is for a user without one."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def are_different_files(one: Path, other: Path) -> bool:
    """Return True if both files exist and are two. Blocks.

    A path that does not exist here may be the conductor's name for the same file, as in a
    container.
    """
    try:
        return not one.samefile(other)
    except OSError:
        return False
