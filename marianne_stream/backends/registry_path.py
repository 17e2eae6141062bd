"""Paths on disk that belong to a conductor and its jobs.

Several conductors on one machine are usual. Each has its own socket and registry, and tells the
path of its registry (`state_db_path` of `daemon.config`).
"""

import logging
import re
from pathlib import Path

from marianne_stream.backends.base import Backend
from marianne_stream.common.repeated_logs import WarnOnce
from marianne_stream.conductor.daemon_config import DaemonConfigCache
from marianne_stream.errors import (
    JobNotFoundError,
    StateUnavailableError,
    StateUnreadableError,
)

logger = logging.getLogger(__name__)

DEFAULT_REGISTRY_PATH = "~/.marianne/daemon-state.db"
CLONE_SOCKET_NAME = re.compile(r"marianne-clone(?:-([A-Za-z0-9_-]{1,64}))?\.sock")

WRONG_REGISTRY_DETAIL = "The saved state that this server is set to read is of another conductor."


class RegistryPath:
    """Path of the registry that a setting or the conductor gives.

    A configured registry is not read if the conductor names another existing file: it would show
    the jobs of another conductor. Until the conductor has answered, the default path is derived
    from its socket's.
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
        self._path = default_registry_path(socket_path)
        self._mismatch = WarnOnce(logger)

    def find(self) -> Path:
        """Return the path of the registry to read. Blocks.

        Raise StateUnreadableError if the configured registry belongs to another conductor.
        """
        config = self._daemon_config.value if self._daemon_config is not None else None
        reported = config.state_db_path if config is not None else None
        path = expand_home(reported) if reported is not None else self._path
        configured = self._configured_path
        if configured is None:
            if path != self._path:
                logger.info("registry selected path=%s", path)
                self._path = path
            return path
        if reported is not None and are_different_files(configured, path):
            mismatch = (
                f"registry_path is {configured}, but the conductor's registry is {path}: remove "
                "the setting, or set it to that file"
            )
            self._mismatch.warn("registry not read reason=%s", mismatch)
            raise StateUnreadableError(mismatch, detail=WRONG_REGISTRY_DETAIL)
        self._mismatch.recover()
        return configured


class JobPathResolver:
    """Finds snapshots in the registry, and the conductor's log in its configuration."""

    def __init__(
        self,
        daemon_config: DaemonConfigCache | None,
        registry: Backend | None,
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
    clone = find_clone_name(socket_path)
    if clone is None:
        return expand_home(DEFAULT_REGISTRY_PATH)
    suffix = f"-{clone}" if clone else ""
    return expand_home(f"~/.marianne/clone{suffix}-state.db")


def find_clone_name(socket_path: Path) -> str | None:
    """Return the name of the clone that has a socket: "" for the one without a name.

    None if it is not the socket of a clone.
    """
    clone = CLONE_SOCKET_NAME.fullmatch(socket_path.name)
    return clone[1] or "" if clone is not None else None


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
