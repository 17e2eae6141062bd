"""The conductor's own configuration: where its registry and its log are."""

import logging

import msgspec

from marianne_stream.conductor.client import ConductorClient
from marianne_stream.errors import ConductorRpcError, ConductorUnavailableError

logger = logging.getLogger(__name__)


class DaemonConfig(msgspec.Struct, frozen=True):
    """The parts of `daemon.config` that are used here."""

    log_file: str | None = None
    state_db_path: str | None = None


class DaemonConfigCache:
    """Asks for `daemon.config` once for each process of the conductor.

    Args:
        client: the client to ask with.

    Attributes:
        value: the last answer; None before the first. It outlives the conductor.
    """

    def __init__(self, client: ConductorClient) -> None:
        self._client = client
        self._process_key: object = None
        self.value: DaemonConfig | None = None

    async def refresh(self) -> None:
        """Ask again if another conductor answers than the last time. Never fails."""
        process = self._client.process_key
        if self.value is not None and process == self._process_key:
            return
        try:
            self.value = (await self._client.call("daemon.config", None, DaemonConfig)).result
        except ConductorRpcError as error:
            # An older conductor does not have the method.
            logger.info("daemon.config: %s", error)
            self.value = DaemonConfig()
        except ConductorUnavailableError as error:
            logger.debug("daemon.config: %s", error)
            return
        self._process_key = process
