"""Recorded traffic of a real conductor gives the history that the recording itself tells."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from marianne_stream.backends.checkpoint import to_epoch_s
from marianne_stream.demo.recording import Recording
from marianne_stream.demo.replay import ReplayConductor
from marianne_stream.jobs.poll_schedule import REST_FACTOR
from marianne_stream.models import TERMINAL_STATUSES
from tests.support.history_servers import run_recording_server
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

# A shorter stall delays only what falls into it.
SHORT_STALL_S = 0.03

# Position in `four-jobs` at which `fan` is resumed.
FAN_RESUMED_S = 29.0

KILLS = 10

# Position of the last kill, shortly before the last job ends.
KILLED_UNTIL_S = {
    "four-jobs": 52.0,
    "two-ended-one-runs": 48.0,
    "retry-scheduled": 39.0,
    "rate-limit-and-cancel": 71.0,
}

pytestmark = pytest.mark.slow

Runs = dict[str, dict[str, Any]]

# Positions in the recording at which servers were ready, and at which they were killed.
Lives = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest differences from the recorded times, in seconds of the server's clock."""

    announced_s: float
    other_s: float

    def plus(self, stalled_s: float) -> "Tolerance":
        """Return the tolerance if the conductor stalls, as on a busy machine.

        The server then leaves it alone for REST_FACTOR times as long.
        """
        if stalled_s > SHORT_STALL_S:
            stalled_s *= 1 + REST_FACTOR
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
    lives: Lives = ((-inf, inf),),
) -> list[str]:
    """Return the times that are wrong, or missing although a server could see them.

    A server sees a change that is as long as the tolerance after its beginning and before its end,
    if the sheet lasts longer than that.
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
                    is_long = lasts_s(span, replay) > tolerance.of(edge)
                    is_required = is_long and is_within(edge, lives, tolerance.of(edge))
                    faults += [f"missing: {text}"] if is_required else []
                elif abs(off_s := found_at - replay.to_clock(edge.time_s)) > tolerance.of(edge):
                    faults.append(f"off by {off_s:.3f} s: {text}")
    return faults


def is_within(edge: Edge, lives: Lives, margin_s: float) -> bool:
    """Return whether a server ran for a time before and after an edge."""
    return any(began_s + margin_s < edge.time_s < ended_s - margin_s for began_s, ended_s in lives)


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
            check_special_cases(name, runs, replay, is_watched=server is watched)


def check_special_cases(
    name: str, runs: Runs, replay: ReplayConductor, *, is_watched: bool
) -> None:
    """Check what only one of the recordings has."""
    if name == "four-jobs":
        # The resume writes its own moment into the ends of the sheets before.
        ends = [to_epoch_s(sheet["completed_at"]) or 0.0 for sheet in runs["fan"]["sheets"][:3]]
        assert max(ends) < replay.to_clock(FAN_RESUMED_S) - 1
    if name == "retry-scheduled" and is_watched:
        seen = executions(runs["retry"], 2)
        assert is_part_of(
            seen,
            [
                ("dispatched", 1),
                ("retry_scheduled", 1),
                ("dispatched", 2),
                ("retry_scheduled", 2),
                ("dispatched", 3),
                ("failed", 3),
            ],
        )
        # The attempts may be too short to be seen, the waits between them are not.
        assert {("retry_scheduled", 1), ("retry_scheduled", 2), ("failed", 3)} <= set(seen)
    if name == "rate-limit-and-cancel":
        (limited,) = [sheet for sheet in runs["quota"]["sheets"] if sheet["number"] == 2]
        assert limited["work_s"] == pytest.approx(4 / SPEED, abs=0.1)
        statuses = [status for status, _ in executions(runs["quota"], 2)]
        assert is_part_of(statuses, ["dispatched", "waiting", "dispatched", "completed"])
        assert statuses[-1] == "completed"
        assert "waiting" in statuses


@pytest.mark.parametrize(("name", "last_kill_s"), KILLED_UNTIL_S.items())
async def test_killed_servers_record_nothing_twice_and_invent_nothing(
    recordings: Path, tmp_path: Path, name: str, last_kill_s: float
) -> None:
    path = recordings / f"{name}.ndjson"
    async with replayed(path, tmp_path, 1.0) as replay, measure_loop_lag() as stalled:
        truth = recorded_spans(replay.recording)
        lives: list[tuple[float, float]] = []
        replay.play()
        for kill in range(1, KILLS + 1):
            async with watched_server(tmp_path):
                ready_s = replay.position_s
                # At the end of the block the server gets SIGKILL.
                await replay.wait_position(last_kill_s * kill / KILLS)
                lives.append((ready_s, replay.position_s))
        async with watched_server(tmp_path) as address:
            lives.append((replay.position_s, replay.recording.duration_s))
            await replay.finished.wait()
            fetch = partial(fetch_runs, address, list(truth))
            required = {
                job_id
                for job_id, spans in truth.items()
                if any(span.start and is_within(span.start, lives, 2.5) for span in spans.values())
            }
            is_complete = partial(have_ended, required=required)
            runs = await wait_for_value(fetch, is_complete, timeout_s=30)
    tolerance = Tolerance(WATCHED.other_s, WATCHED.other_s).plus(stalled.max_s)
    assert find_faults(runs, truth, replay, tolerance, lives) == []
    for job_id, run in runs.items():
        for number, span in truth[job_id].items():
            seen = [status for status, _ in executions(run, number)]
            assert is_part_of(seen, span.statuses), (job_id, number, seen)


@asynccontextmanager
async def watched_server(folder: Path) -> AsyncIterator[str]:
    """Run a server with a viewer of the roster, and yield its address."""
    async with (
        run_recording_server(folder) as running,
        aiohttp.ClientSession(running.address) as session,
        open_viewer(session, "/api/roster/stream", details="true") as viewer,
    ):
        await viewer.wait_for("roster")
        yield running.address


def is_part_of(seen: Iterable[object], all_statuses: Iterable[object]) -> bool:
    """Return whether statuses are among others in the same order, none more often."""
    remaining = iter(all_statuses)
    return all(status in remaining for status in seen)
