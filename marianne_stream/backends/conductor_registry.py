"""Backend for the registry that belongs to a conductor, and the paths that it gives.

Several conductors on one machine are usual. Each has its own socket and registry, and tells the
path of its registry (`state_db_path` of `daemon.config`).
"""

import asyncio
import logging
import re
from pathlib import Path

from marianne_stream.backends.registry import RegistryBackend
from marianne_stream.conductor.daemon_config import DaemonConfigCache
from marianne_stream.errors import (
    JobNotFoundError,
    StateUnavailableError,
    StateUnreadableError,
)
from marianne_stream.models import JobState, Roster, RosterEntry

logger = logging.getLogger(__name__)

DEFAULT_REGISTRY_PATH = "~/.marianne/daemon-state.db"
CLONE_SOCKET_NAME = re.compile(r"marianne-clone-(.+)\.sock")

WRONG_REGISTRY_DETAIL = "The registry that this server is set to read belongs to another conductor."


class ConductorRegistryBackend:
    """The registry whose path a setting or the conductor gives.

    A configured registry is not read if the conductor names another existing file: it would show
    the jobs of another conductor.

    Args:
        daemon_config: the conductor's configuration; None without a conductor.
        configured_path: the registry that a setting gives; None if none does.
        socket_path: the conductor's socket, from which the default registry path is derived until
            the conductor has answered.
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
        self._selected_db_path: str | None = None
        self._selection_lock = asyncio.Lock()
        self._mismatch_error = ""

    async def read_roster(self) -> Roster:
        """Return all jobs; as `RegistryBackend.read_roster`."""
        return await (await self.get_registry()).read_roster()

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        """Return one job; as `RegistryBackend.read_job`."""
        return await (await self.get_registry()).read_job(job_id, entry)

    async def close(self) -> None:
        """Wait for reads that are under way."""
        await self._registry.close()

    async def get_registry(self) -> RegistryBackend:
        """Return the registry to read.

        Raises:
            StateUnreadableError: the configured registry belongs to another conductor.
        """
        config = self._daemon_config.value if self._daemon_config is not None else None
        db_path = config.state_db_path if config is not None else None
        async with self._selection_lock:
            if db_path is not None and db_path != self._selected_db_path:
                await self._select_registry(expand_home(db_path))
                self._selected_db_path = db_path
        if self._mismatch_error:
            raise StateUnreadableError(self._mismatch_error, detail=WRONG_REGISTRY_DETAIL)
        return self._registry

    async def _select_registry(self, conductor_path: Path) -> None:
        self._mismatch_error = ""
        if self._configured_path is None:
            if conductor_path != self._registry.path:
                logger.info("registry selected path=%s", conductor_path)
                await self._registry.close()
                self._registry = RegistryBackend(conductor_path)
        elif await asyncio.to_thread(are_different_files, self._configured_path, conductor_path):
            self._mismatch_error = (
                f"registry_path is {self._configured_path}, but the conductor's registry is "
                f"{conductor_path}: remove the setting, or set it to that file"
            )
            logger.warning("registry not read reason=%s", self._mismatch_error)


class JobPathResolver:
    """Finds snapshots in the registry, and the conductor's log in its configuration.

    Args:
        daemon_config: the conductor's configuration; None without a conductor.
        registry: the registry; None if there is none.
        conductor_log_path: the conductor's log, if a setting gives it.
    """

    def __init__(
        self,
        daemon_config: DaemonConfigCache | None,
        registry: ConductorRegistryBackend | None,
        *,
        conductor_log_path: Path | None = None,
    ) -> None:
        self._daemon_config = daemon_config
        self._registry = registry
        self._configured_log_path = (
            str(conductor_log_path) if conductor_log_path is not None else None
        )

    async def find_snapshot_dir(self, job_id: str) -> str | None:
        """Return the snapshot folder of a job whose workspace is gone; None if unknown."""
        if self._registry is None:
            return None
        try:
            return (await self._registry.read_job(job_id, None)).snapshot_path
        except (JobNotFoundError, StateUnavailableError) as error:
            logger.debug("snapshot not found job=%r error=%s", job_id, error)
            return None

    async def find_conductor_log(self) -> str | None:
        """Return the path of the conductor's own log; None if it has none or has not said."""
        if self._configured_log_path is not None or self._daemon_config is None:
            return self._configured_log_path
        await self._daemon_config.refresh()
        return self._daemon_config.value.log_file if self._daemon_config.value is not None else None


def default_registry_path(socket_path: Path) -> Path:
    """Return the default registry path of the conductor at a socket."""
    clone = CLONE_SOCKET_NAME.fullmatch(socket_path.name)
    path = f"~/.marianne/clone-{clone[1]}-state.db" if clone is not None else DEFAULT_REGISTRY_PATH
    return expand_home(path)


def expand_home(path: str) -> Path:
    """Expand `~` in a path; return it unchanged if the user has no home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def are_different_files(one: Path, other: Path) -> bool:
    """Return True if both files exist and differ. Blocks.

    A path that does not exist here may be the conductor's name of the same file, as in a
    container.
    """
    try:
        return not one.samefile(other)
    except OSError:
        return False
