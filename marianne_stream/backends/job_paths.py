"""Where a job's files and the conductor's own log lie, beyond what a job's state says."""

import logging
from pathlib import Path

from marianne_stream.backends.conductor_registry import ConductorRegistryBackend
from marianne_stream.conductor.daemon_config import DaemonConfigCache
from marianne_stream.errors import JobNotFoundError, StateUnavailableError

logger = logging.getLogger(__name__)


class JobPathResolver:
    """Asks the registry for snapshots, and the conductor for its log.

    Args:
        daemon_config: what the conductor says; None if no conductor is asked.
        registry: the registry; None if there is none.
        conductor_log_pathr_log: the conductor's log, if a setting names it.
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
        """Return the folder that the registry names for a job whose workspace is gone."""
        if self._registry is None:
            return None
        try:
            return (await self._registry.read_job(job_id, None)).snapshot_path
        except (JobNotFoundError, StateUnavailableError) as error:
            logger.debug("no snapshot of %r: %s", job_id, error)
            return None

    async def find_conductor_log(self) -> str | None:
        """Return the conductor's own log; None if it has none, or has not said."""
        if self._configured_log_path is not None or self._daemon_config is None:
            return self._configured_log_path
        await self._daemon_config.refresh()
        return self._daemon_config.value.log_file if self._daemon_config.value is not None else None
