"""Recorded traffic of a real conductor gives the history that the recording itself tells."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from marianne_stream.backends.checkpoint import to_epoch_s
from marianne_stream.demo.recording import Recording
from marianne_stream.demo.replay import ReplayConductor
from marianne_stream.models import TERMINAL_STATUSES
from tests.support.loop_lag import measure_loop_lag
from tests.support.processes import run_server
from tests.support.recorded_spans import Edge, RecordedSpan, recorded_spans
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_for_value

RECORDINGS = (
    "four-jobs",
    "two-ended-one-runs",
    "retry-scheduled",
    "rate-limit-and-cancel",
    "cancel-resume-clear",
)

SPEED = 2.0
KILLS = 10

# Position of the last kill in `four-jobs`, whose jobs end after 58 s.
LAST_KILL_S = 52.0

pytestmark = pytest.mark.slow

Runs = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest differences from the recorded times, in seconds of the server's clock."""

    announced_s: float
    other_s: float

    def plus(self, stalled_s: float) -> "Tolerance":
        """Return the tolerance if the conductor stalls, as on a busy machine."""
        return Tolerance(self.announced_s + stalled_s, self.other_s + stalled_s)

    def of(self, edge: Edge) -> float:
        """Return the tolerance of an edge."""
        return self.announced_s if edge.is_announced else self.other_s


WATCHED = Tolerance(announced_s=0.3, other_s=2.5)
UNWATCHED = Tolerance(announced_s=11, other_s=11)


@asynccontextmanager
async def replayed(path: Path, folder: Path, speed: float) -> AsyncIterator[ReplayConductor]:
    """Run a conductor that does not play yet."""
    recording = await asyncio.to_thread(Recording.from_file, path)
    replay = ReplayConductor(folder / "c.sock", recording, speed=speed, plays_at_start=False)
    await replay.start()
    try:
        yield replay
    finally:
        await replay.kill()


async def fetch_runs(address: str, job_ids: list[str]) -> Runs:
    """Return the recorded run of each job that has one, with its transitions."""
    runs = {}
    async with aiohttp.ClientSession(address) as session:
        for job_id in job_ids:
            async with session.get(f"/api/jobs/{job_id}/runs") as answer:
                listed = (await answer.json())["runs"]
            assert len(listed) <= 1
            for run in listed:
                async with session.get(f"/api/jobs/{job_id}/runs/{run['run']}") as answer:
                    runs[job_id] = await answer.json()
    return runs


def have_ended(runs: Runs, required: set[str]) -> bool:
    """Return whether there are the required runs, and all runs have ended."""
    return required <= set(runs) and all(
        run["status"] in TERMINAL_STATUSES for run in runs.values()
    )


def find_faults(
    runs: Runs,
    truth: dict[str, dict[int, RecordedSpan]],
    replay: ReplayConductor,
    tolerance: Tolerance,
    *,
    has_gaps: bool = False,
) -> list[str]:
    """Return the times that are wrong, or missing although the sheet lasted long enough.

    With gaps in which no server ran, any time may be missing.
    """
    faults = []
    for job_id, run in runs.items():
        for sheet in run["sheets"]:
            number = sheet["number"]
            span = truth[job_id].get(number, RecordedSpan())
            for name, edge in (("started_at", span.start), ("completed_at", span.end)):
                found_at = to_epoch_s(sheet.get(name))
                text = f"{job_id} {number} {name} {edge}: {sheet}"
                if edge is None:
                    faults += [f"invented: {text}"] if found_at is not None else []
                elif found_at is None:
                    is_required = not has_gaps and lasts_s(span, replay) > tolerance.of(edge)
                    faults += [f"missing: {text}"] if is_required else []
                elif abs(off_s := found_at - replay.to_clock(edge.time_s)) > tolerance.of(edge):
                    faults.append(f"off by {off_s:.3f} s: {text}")
    return faults


def lasts_s(span: RecordedSpan, replay: ReplayConductor) -> float:
    """Return the duration of a span in seconds of the server's clock."""
    if span.start is None or span.end is None:
        return 0.0
    return replay.to_clock(span.end.time_s) - replay.to_clock(span.start.time_s)


def executions(run: dict[str, Any], number: int) -> list[tuple[str, int | None]]:
    """Return the statuses of a sheet with their attempts, as they were recorded."""
    return [
        (each["status"], each.get("attempt"))
        for each in run["transitions"]
        if each["number"] == number and each["status"] not in ("pending", "ready", "skipped")
    ]


@pytest.mark.parametrize("name", RECORDINGS)
async def test_recorded_spans_are_those_of_the_recording(
    recordings: Path, tmp_path: Path, name: str
) -> None:
    path = recordings / f"{name}.ndjson"
    async with replayed(path, tmp_path, SPEED) as replay, AsyncExitStack() as stack:
        truth = recorded_spans(replay.recording)
        watched, unwatched = [
            await stack.enter_async_context(
                run_server(tmp_path, "--data-dir", tmp_path / kind, "--log-level", "warning")
            )
            for kind in ("watched", "unwatched")
        ]
        session = await stack.enter_async_context(aiohttp.ClientSession(watched.address))
        viewer = await stack.enter_async_context(
            open_viewer(session, "/api/roster/stream", details="true")
        )
        await viewer.wait_for("roster")
        async with measure_loop_lag() as stalled:
            replay.play()
            await replay.finished.wait()
        for server, tolerance in ((watched, WATCHED.plus(stalled.max_s)), (unwatched, UNWATCHED)):
            required = {
                job_id
                for job_id, spans in truth.items()
                if server is watched or any(lasts_s(span, replay) > 11 for span in spans.values())
            }
            fetch = partial(fetch_runs, server.address, list(truth))
            runs = await wait_for_value(fetch, partial(have_ended, required=required), timeout_s=30)
            assert find_faults(runs, truth, replay, tolerance) == []
            assert server.log == ""
            check_special_cases(name, runs, is_watched=server is watched)


def check_special_cases(name: str, runs: Runs, *, is_watched: bool) -> None:
    """Check what only one of the recordings has."""
    if name == "retry-scheduled" and is_watched:
        assert executions(runs["retry"], 2) == [
            ("dispatched", 1),
            ("retry_scheduled", 1),
            ("dispatched", 2),
            ("retry_scheduled", 2),
            ("dispatched", 3),
            ("failed", 3),
        ]
    if name == "rate-limit-and-cancel":
        (limited,) = [sheet for sheet in runs["quota"]["sheets"] if sheet["number"] == 2]
        assert limited["work_s"] == pytest.approx(4 / SPEED, abs=0.1)
        assert [status for status, _ in executions(runs["quota"], 2)] == [
            *("dispatched", "waiting", "dispatched", "completed")
        ]


async def test_killed_servers_record_nothing_twice_and_invent_nothing(
    recordings: Path, tmp_path: Path
) -> None:
    path = recordings / "four-jobs.ndjson"
    async with replayed(path, tmp_path, 1.0) as replay, measure_loop_lag() as stalled:
        truth = recorded_spans(replay.recording)
        replay.play()
        for kill in range(1, KILLS + 1):
            async with watched_server(tmp_path):
                # At the end of the block the server gets SIGKILL.
                await replay.wait_position(LAST_KILL_S * kill / KILLS)
        async with watched_server(tmp_path) as address:
            await replay.finished.wait()
            fetch = partial(fetch_runs, address, list(truth))
            is_complete = partial(have_ended, required=set(truth))
            runs = await wait_for_value(fetch, is_complete, timeout_s=30)
    tolerance = Tolerance(WATCHED.other_s, WATCHED.other_s).plus(stalled.max_s)
    assert find_faults(runs, truth, replay, tolerance, has_gaps=True) == []
    for job_id, run in runs.items():
        for number, span in truth[job_id].items():
            seen = [status for status, _ in executions(run, number)]
            assert is_part_of(seen, span.statuses), (job_id, number, seen)
    times = [sheet.get("started_at") for run in runs.values() for sheet in run["sheets"]]
    assert len(list(filter(None, times))) >= len(times) // 2


@asynccontextmanager
async def watched_server(folder: Path) -> AsyncIterator[str]:
    """Run a server with a viewer of the roster, and yield its address."""
    async with (
        run_server(folder, "--data-dir", folder / "data") as running,
        aiohttp.ClientSession(running.address) as session,
        open_viewer(session, "/api/roster/stream", details="true") as viewer,
    ):
        await viewer.wait_for("roster")
        yield running.address


def is_part_of(seen: Iterable[str], all_statuses: Iterable[str]) -> bool:
    """Return whether statuses are among others in the same order, none more often."""
    remaining = iter(all_statuses)
    return all(status in remaining for status in seen)
