"""The conductor: whether it answers, and what it says of its registry, log and jobs.

It is asked in one short visit, which takes one connection slot for as long as it lasts. The monitor
stream is never subscribed to: a closed subscription keeps its slot.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from marianne_stream.check.finding import Finding, counted
from marianne_stream.conductor.address import connect
from marianne_stream.conductor.config import DaemonConfig
from marianne_stream.errors import (
    ConductorDisconnectedError,
    ConductorProtocolError,
    ConductorRpcError,
    ConductorTimeoutError,
    ConductorUnavailableError,
    ConductorUnreachableError,
)
from marianne_stream.wire import json_text, jsonrpc

SUBJECT = "conductor"

# With a free slot, daemon.health is answered within a millisecond.
SLOT_LIMIT_S = 1.0
ANSWER_LIMIT_S = 10.0

NO_SLOT_ADVICE = (
    "close other clients of the conductor (dashboards, mzt commands that hang, other servers); if "
    "mzt list hangs as well, kill the conductor with SIGKILL and start it again"
)
AWAY_ADVICE = "start the conductor, or name its socket with socket"
DENIED_ADVICE = "run the server as the conductor's user, or in the group of its socket"

Answer = TypeVar("Answer")


class Health(msgspec.Struct, frozen=True):
    """What of `daemon.health` is looked at."""

    pid: int | None = None
    shutting_down: bool = False


class ListedJob(msgspec.Struct, frozen=True):
    """What of an entry of `job.list` is looked at."""

    job_id: str
    workspace: str | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """What the conductor said in one visit."""

    health: Health
    config: DaemonConfig
    jobs: tuple[ListedJob, ...]


async def visit(path: Path) -> Visit:
    """Ask the conductor in one short visit. Cancelling is safe.

    Raises:
        ConductorUnavailableError: it cannot be reached, or its answer cannot be used;
            ConductorTimeoutError if it gives no answer at all.
    """
    sock = await connect(path)
    try:
        reader, writer = await asyncio.open_unix_connection(
            sock=sock, limit=jsonrpc.MAX_MESSAGE_BYTES
        )
    except BaseException:
        sock.close()
        raise
    try:
        ask = Asking(reader, writer)
        # Only the first answer waits for a slot.
        health = await ask("daemon.health", Health, limit_s=SLOT_LIMIT_S)
        try:
            config = await ask("daemon.config", DaemonConfig, limit_s=ANSWER_LIMIT_S)
        except ConductorRpcError:
            # An older conductor does not have the method.
            config = DaemonConfig()
        listed = await ask("job.list", list[msgspec.Raw], limit_s=ANSWER_LIMIT_S)
        return Visit(health, config, readable(listed))
    except (OSError, EOFError) as error:
        raise ConductorDisconnectedError(f"the connection was lost: {error}") from error
    finally:
        writer.close()


class Asking:
    """Requests on one connection, one after the other.

    Args:
        reader: where answers come from.
        writer: where requests go.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._number = 0

    async def __call__(self, method: str, kind: type[Answer], *, limit_s: float) -> Answer:
        """Ask one question; raises as `visit` does, and OSError or EOFError if cut off."""
        self._number += 1
        self._writer.write(jsonrpc.make_request(self._number, method))
        try:
            async with asyncio.timeout(limit_s):
                line = await self._reader.readuntil(b"\n")
        except TimeoutError as error:
            raise ConductorTimeoutError(f"no answer to {method} within {limit_s:g} s") from error
        except asyncio.LimitOverrunError as error:
            raise ConductorProtocolError(f"the answer to {method} is too large") from error
        try:
            message = jsonrpc.parse_message(line)
            if message.error is not None:
                raise ConductorRpcError(method, message.error.code, message.error.message)
            return json_text.decode(message.result, kind)  # type: ignore[arg-type]
        except ValueError as error:
            raise ConductorProtocolError(f"the answer to {method} cannot be read") from error


def readable(listed: list[msgspec.Raw]) -> tuple[ListedJob, ...]:
    """Return the entries of `job.list` that can be read; the server leaves the others out, too."""
    jobs = []
    for raw in listed:
        with suppress(ValueError):
            jobs.append(json_text.decode(raw, ListedJob))
    return tuple(jobs)


def found(visited: Visit, path: Path) -> Finding:
    """Return what was found of a conductor that answers."""
    if visited.health.shutting_down:
        return Finding("warning", SUBJECT, f"{path} is shutting down")
    jobs = counted(len(visited.jobs), "job")
    pid = f", pid {visited.health.pid}" if visited.health.pid is not None else ""
    return Finding("ok", SUBJECT, f"{path} answers{pid}, and lists {jobs}")


def not_found(error: ConductorUnavailableError, path: Path, *, alone: bool) -> Finding:
    """Return what was found of a conductor that could not be asked.

    Args:
        error: why it could not.
        path: its socket.
        alone: whether there is no other source of state.
    """
    if isinstance(error, ConductorTimeoutError):
        text = f"{path} accepts, and gives no answer within {SLOT_LIMIT_S:g} s: all its connection "
        return Finding("error", SUBJECT, f"{text}slots may be taken", NO_SLOT_ADVICE)
    if isinstance(error, ConductorUnreachableError):
        # The registry shows what was last known until the conductor is back.
        return Finding("error" if alone else "warning", SUBJECT, str(error), AWAY_ADVICE)
    advice = DENIED_ADVICE if isinstance(error.__cause__, PermissionError) else ""
    return Finding("error", SUBJECT, str(error), advice)
