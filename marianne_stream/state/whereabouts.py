"""Where a job's files and the conductor's own log lie, beyond what a job's state says."""

import logging
from pathlib import Path

from marianne_stream.conductor.config import ConductorConfig
from marianne_stream.errors import JobNotFoundError, StateUnavailableError
from marianne_stream.state.own_registry import OwnRegistry

logger = logging.getLogger(__name__)


class Whereabouts:
    """Asks the registry for snapshots, and the conductor for its log.

    Args:
        config: what the conductor says; None if no conductor is asked.
        registry: the registry; None if there is none.
        conductor_log: the conductor's log, if a setting names it.
    """

    def __init__(
        self,
        config: ConductorConfig | None,
        registry: OwnRegistry | None,
        *,
        conductor_log: Path | None = None,
    ) -> None:
        self._config = config
        self._registry = registry
        self._chosen = str(conductor_log) if conductor_log is not None else None

    async def snapshot(self, job_id: str) -> str | None:
        """Return the folder that the registry names for a job whose workspace is gone."""
        if self._registry is None:
            return None
        try:
            return (await self._registry.job(job_id, None)).snapshot_path
        except (JobNotFoundError, StateUnavailableError) as error:
            logger.debug("no snapshot of %r: %s", job_id, error)
            return None

    async def conductor_log(self) -> str | None:
        """Return the conductor's own log; None if it has none, or has not said."""
        if self._chosen is not None or self._config is None:
            return self._chosen
        await self._config.update()
        return self._config.known.log_file if self._config.known is not None else None
