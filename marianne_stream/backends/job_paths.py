"""Paths that a job's state does not give: its snapshot, and the conductor's own log."""

import logging
from pathlib import Path

from marianne_stream.backends.conductor_registry import ConductorRegistryBackend
from marianne_stream.conductor.daemon_config import DaemonConfigCache
from marianne_stream.errors import JobNotFoundError, StateUnavailableError

logger = logging.getLogger(__name__)


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
