"""Where a job's files and the conductor's own log lie, beyond what a job's state says.

It must not know what is in them.
"""

import logging
from pathlib import Path

import msgspec

from marianne_stream.conductor.guest import ConductorGuest
from marianne_stream.errors import (
    ConductorUnavailableError,
    JobNotFoundError,
    StateUnavailableError,
)
from marianne_stream.state.registry import Registry

logger = logging.getLogger(__name__)


class Config(msgspec.Struct, frozen=True):
    """What of `daemon.config` is used here."""

    log_file: str | None = None


class Whereabouts:
    """Asks the registry for snapshots, and the conductor for its log.

    Args:
        guest: who asks the conductor; None where nobody does.
        registry: the registry; None where there is none.
        conductor_log: the conductor's log, where a setting names it.
    """

    def __init__(
        self,
        guest: ConductorGuest | None,
        registry: Registry | None,
        *,
        conductor_log: Path | None = None,
    ) -> None:
        self._guest = guest
        self._registry = registry
        self._given = str(conductor_log) if conductor_log is not None else None
        # What the conductor said when it was last asked: it may be away when its log is wanted.
        self._said: str | None = None

    async def snapshot(self, job_id: str) -> str | None:
        """The folder that the registry names for a job whose workspace is gone."""
        if self._registry is None:
            return None
        try:
            return (await self._registry.job(job_id, None)).snapshot_path
        except (JobNotFoundError, StateUnavailableError) as error:
            logger.debug("no snapshot of %r: %s", job_id, error)
            return None

    async def conductor_log(self) -> str | None:
        """The conductor's own log; None where it has none, or nobody could say."""
        if self._given is not None or self._guest is None:
            return self._given
        try:
            self._said = (await self._guest.call("daemon.config", None, Config)).log_file
        except ConductorUnavailableError as error:
            logger.debug("daemon.config: %s", error)
        return self._said
