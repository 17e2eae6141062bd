"""Servers that record a history, and what clients read of it."""

import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.history.store import history_path
from tests.support.processes import ManagedProcess, run_server
from tests.support.viewers import Viewer, open_viewer
from tests.support.waiting import wait_until

STREAM = "/api/events/stream"


def run_recording_server(
    folder: Path, *options: object
) -> AbstractAsyncContextManager[ManagedProcess]:
    """Run a server on the conductor of a directory, whose history is below `data` there."""
    return run_server(folder, "--data-dir", folder / "data", *options)


@asynccontextmanager
async def run_watched_server(
    folder: Path, conductor: SimulatedConductor, cursor: str = ""
) -> AsyncIterator[tuple[ManagedProcess, Viewer]]:
    """Run such a server with a viewer of its events, and kill it at the end.

    Args:
        folder: the directory of the conductor.
        conductor: the conductor.
        cursor: cursor of the viewer. Without one, the viewer has its first event when this yields.
    """
    async with run_recording_server(folder) as server, aiohttp.ClientSession() as session:
        await wait_subscribed(conductor)
        url = server.address + STREAM
        async with open_viewer(session, url, last_event_id=cursor) as viewer:
            if not cursor:
                await viewer.wait_for("source")
            yield server, viewer


def find_history(folder: Path) -> Path:
    """Return the path of the history of such a server."""
    return history_path(folder / "data", folder / "c.sock")


async def fetch_json(address: str, path: str, **params: str) -> tuple[int, Any]:
    """Return status and JSON of a response."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(URL(f"{address}{path}", encoded=True).update_query(params)) as response,
    ):
        return response.status, await response.json()


async def fetch_all_events(address: str, job_id: str, *, limit: int = 7) -> list[dict[str, Any]]:
    """Return the recorded events of a job from all pages, oldest first."""
    found: list[dict[str, Any]] = []
    before = "0"
    while before:
        path = f"/api/jobs/{job_id}/events/list"
        status, page = await fetch_json(address, path, limit=str(limit), before=before)
        assert status == 200, page
        found += page["events"]
        before = page["next"]
    return found[::-1]


def received_steps(viewer: Viewer) -> list[int | str]:
    """Return the numbers of the test's events that a viewer has, and the reasons of gaps."""
    return [
        data["reason"] if "reason" in data else data["data"]["step"]
        for data in viewer.event_data("gap", "test.step")
    ]


def emit_steps(conductor: SimulatedConductor, *numbers: int, job_id: str = "a") -> None:
    """Send numbered events of a job."""
    for number in numbers:
        conductor.emit(job_id, "test.step", {"step": number})


async def wait_until_stored(folder: Path, step: int) -> None:
    """Wait until a numbered event is in the history."""
    await wait_until(lambda: is_stored(folder, step))


def is_stored(folder: Path, step: int) -> bool:
    """Return whether a numbered event is in the history."""
    database = sqlite3.connect(f"file:{find_history(folder)}?mode=ro", uri=True)
    try:
        marked = f'%"step":{step}}}%'
        query = "SELECT 1 FROM events WHERE CAST(data AS TEXT) LIKE ?"
        return database.execute(query, (marked,)).fetchone() is not None
    except sqlite3.OperationalError:
        return False
    finally:
        database.close()


async def wait_for_step(viewer: Viewer, step: int) -> None:
    """Wait until a viewer has a numbered event."""
    marked, searched = f'"step":{step}}}', 0

    def has_step() -> bool:
        nonlocal searched
        new = viewer.events[searched:]
        searched += len(new)
        return any(marked in event.data for event in new)

    await wait_until(has_step)


async def wait_subscribed(conductor: SimulatedConductor) -> None:
    """Wait until a server is subscribed to the conductor's events."""
    await wait_until(lambda: conductor.statistics.monitor_streams_open >= 1)


async def stop(server: ManagedProcess) -> None:
    """Stop a server as an operator would, and check that it ends without an error."""
    server.send_signal(signal.SIGTERM)
    assert await server.wait() == 0


async def kill(server: ManagedProcess) -> None:
    """Kill a server as a crash would."""
    server.send_signal(signal.SIGKILL)
    await server.wait()
