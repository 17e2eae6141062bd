"""Check of the conductor: whether it answers, and what it reports.

The check is one short visit, which takes one connection slot while it lasts. It does not subscribe
to events: the conductor keeps the slot of a closed subscription.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from marianne_stream.cli.diagnostics.finding import Finding, pluralize
from marianne_stream.conductor.daemon_config import DaemonConfig
from marianne_stream.conductor.rpc import DaemonHealth, RpcConnection, open_connection
from marianne_stream.errors import (
    ConductorBusyError,
    ConductorProtocolError,
    ConductorRpcError,
    ConductorTimeoutError,
    ConductorUnavailableError,
    ConductorUnreachableError,
)
from marianne_stream.wire import json_text

SUBJECT = "conductor"

# With a free slot, the conductor answers daemon.health within a millisecond.
SLOT_TIMEOUT_S = 1.0
RESPONSE_TIMEOUT_S = 10.0

NO_SLOT_ADVICE = (
    "close other clients of the conductor (dashboards, mzt commands that hang, other servers); if "
    "mzt list hangs as well, kill the conductor with SIGKILL and start it again"
)
UNREACHABLE_ADVICE = "start the conductor, or set conductor_socket to its socket"
DENIED_ADVICE = "run the server as the conductor's user, or in the group of its socket"

ResultT = TypeVar("ResultT")


class JobListItem(msgspec.Struct, frozen=True):
    """Fields of a `job.list` entry that the check uses."""

    job_id: str
    workspace: str | None = None


@dataclass(frozen=True, slots=True)
class ConductorReport:
    """Responses of the conductor in one visit."""

    health: DaemonHealth
    config: DaemonConfig
    jobs: tuple[JobListItem, ...]


async def query_conductor(path: Path) -> ConductorReport:
    """Query the conductor in one short visit. Cancelling is safe.

    Raises:
        ConductorBusyError: the conductor gave the connection no slot.
        ConductorTimeoutError: it did not answer a method.
        ConductorUnavailableError: it cannot be reached, or its response is invalid.
    """
    connection = await open_connection(path, on_idle=lambda _: None)
    try:
        # Only the first response waits for a slot.
        await asyncio.wait([connection.health], timeout=SLOT_TIMEOUT_S)
        if not connection.health.done():
            raise ConductorBusyError(
                f"{path} accepts connections, but gives no answer within {SLOT_TIMEOUT_S:g} s: all "
                "its connection slots may be taken"
            )
        health = connection.health.result()
        try:
            config = await call(connection, "daemon.config", DaemonConfig)
        except ConductorRpcError:
            # An older conductor does not have the method.
            config = DaemonConfig()
        entries = await call(connection, "job.list", list[msgspec.Raw])
        return ConductorReport(health, config, decode_jobs(entries))
    finally:
        connection.close()


async def call(connection: RpcConnection, method: str, result_type: type[ResultT]) -> ResultT:
    """Call a method; raises as `query_conductor` does."""
    try:
        async with asyncio.timeout(RESPONSE_TIMEOUT_S):
            result = await connection.send(method)
    except TimeoutError as error:
        raise ConductorTimeoutError(
            f"the conductor did not answer {method} within {RESPONSE_TIMEOUT_S:g} s"
        ) from error
    try:
        return json_text.decode(result, result_type)
    except ValueError as error:
        raise ConductorProtocolError(f"the answer to {method} cannot be read") from error


def decode_jobs(entries: list[msgspec.Raw]) -> tuple[JobListItem, ...]:
    """Return the valid entries of `job.list`; the server skips the others, too."""
    jobs = []
    for raw in entries:
        with suppress(ValueError):
            jobs.append(json_text.decode(raw, JobListItem))
    return tuple(jobs)


def report_finding(report: ConductorReport, path: Path) -> Finding:
    """Return the finding about a conductor that answered."""
    if report.health.shutting_down:
        return Finding("warning", SUBJECT, f"{path} is shutting down")
    jobs = pluralize(len(report.jobs), "job")
    pid = f", pid {report.health.pid}" if report.health.pid is not None else ""
    return Finding("ok", SUBJECT, f"{path} answers{pid}, and lists {jobs}")


def error_finding(error: ConductorUnavailableError, *, is_only_source: bool) -> Finding:
    """Return the finding about a conductor that could not be queried."""
    if isinstance(error, ConductorBusyError | ConductorTimeoutError):
        return Finding("error", SUBJECT, str(error), NO_SLOT_ADVICE)
    if isinstance(error, ConductorUnreachableError):
        # Until the conductor is back, the registry has the last known state.
        return Finding(
            "error" if is_only_source else "warning", SUBJECT, str(error), UNREACHABLE_ADVICE
        )
    advice = DENIED_ADVICE if isinstance(error.__cause__, PermissionError) else ""
    return Finding("error", SUBJECT, str(error), advice)
