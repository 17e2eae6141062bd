"""The conductor's own configuration: the paths of its registry and its log."""

import logging

import msgspec

from marianne_stream.conductor.client import ConductorClient
from marianne_stream.errors import ConductorRpcError, ConductorUnavailableError

logger = logging.getLogger(__name__)

ABSENT = msgspec.Raw(b"null")


class DaemonConfig(msgspec.Struct, frozen=True):
    """The fields of `daemon.config` that this server uses.

    The paths must be right. The limits are only shown, so they stay raw until they are checked.
    """

    log_file: str | None = None
    state_db_path: str | None = None
    socket: msgspec.Raw = ABSENT
    max_concurrent_jobs: msgspec.Raw = ABSENT
    max_concurrent_sheets: msgspec.Raw = ABSENT


class DaemonConfigCache:
    """Caches `daemon.config`, and reads it once for each process of the conductor.

    `value` is the last answer, also after the conductor has gone.
    """

    def __init__(self, client: ConductorClient) -> None:
        self._client = client
        self._process_key: object = None
        self.value: DaemonConfig | None = None

    async def refresh(self) -> None:
        """Read the configuration again if the conductor's process has changed. Never fails."""
        process = self._client.process_key
        if self.value is not None and process == self._process_key:
            return
        try:
            self.value = (await self._client.call("daemon.config", None, DaemonConfig)).result
        except ConductorRpcError as error:
            # An older conductor does not have the method.
            logger.info("daemon.config not supported error=%s", error)
            self.value = DaemonConfig()
        except ConductorUnavailableError as error:
            logger.debug("daemon.config not read error=%s", error)
            return
        self._process_key = process
