"""A hostile source in Redis does not affect the viewers of another source."""

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.models import RosterEntry
from marianne_stream.relay.schema import EventEntry, RelayStatus, SourceKeys, encode_json
from tests.support.hostile_source import CURSOR, HostileSource
from tests.support.processes import ManagedProcess, run_process, run_server
from tests.support.redis_server import RedisServer, run_redis
from tests.support.viewers import Viewer, open_viewer
from tests.support.waiting import wait_for_value, wait_until

PREFIX = "marianne-stream"

ELM = SourceKeys(PREFIX, "elm")

TOKEN = {"Authorization": f"Bearer {'a' * 32}"}

OAK_ONLY = {"Authorization": f"Bearer {'b' * 32}"}

DRAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class TwoSources:
    """A valid source `oak`, a hostile source `elm`, and an edge that serves both.

    Attributes:
        redis: the Redis of both sources.
        conductor: the conductor of oak, with the job `lantern`.
        log: the log of that job.
        elm: the hostile publisher.
        edge: the edge.
        session: client session with access to all sources.
    """

    redis: RedisServer
    conductor: SimulatedConductor
    log: Path
    elm: HostileSource
    edge: ManagedProcess
    session: aiohttp.ClientSession

    async def status(self, path: str) -> int:
        """Return the status of a response."""
        async with self.session.get(self.edge.address + path, allow_redirects=False) as answer:
            await answer.read()
            return answer.status

    async def job_ids(self) -> list[str]:
        """Return the jobs that the edge lists."""
        async with self.session.get(f"{self.edge.address}/api/jobs?limit=1000") as answer:
            return [job["job_id"] for job in (await answer.json()).get("jobs", ())]


@pytest.fixture
async def sources(tmp_path: Path) -> AsyncIterator[TwoSources]:
    """Run all parts as processes."""
    (tokens := tmp_path / "tokens").write_text(f"{'a' * 32}\n{'b' * 32} oak:*\n")
    tokens.chmod(0o600)
    (workspace := tmp_path / "workspace").mkdir()
    (log := workspace / "marianne.log").write_text("line 0\n")
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(run_redis(tmp_path))
        conductor = SimulatedConductor(
            tmp_path / "c.sock", registry=tmp_path / "state.db", shutdown_grace_s=0
        )
        await conductor.start()
        stack.push_async_callback(conductor.kill)
        conductor.launch("lantern", 50, workspace=str(workspace))
        elm = HostileSource(redis, ELM)
        await elm.write_valid_source()
        await stack.enter_async_context(
            run_server(tmp_path, "--publish-url", redis.url, "--source-name", "oak")
        )
        edge = await stack.enter_async_context(
            run_process(
                *("-m", "marianne_stream", "--port", 0, "--drain-timeout-s", DRAIN_S),
                *("--state-backend", "redis", "--redis-url", redis.url, "--token-file", tokens),
                *("--sources", "oak,elm"),
            )
        )
        session = await stack.enter_async_context(aiohttp.ClientSession(headers=TOKEN))
        found = TwoSources(redis, conductor, log, elm, edge, session)
        both = {"oak:lantern", "elm:bait"}
        await wait_for_value(found.job_ids, lambda ids: both <= set(ids), timeout_s=20)
        yield found


@dataclass(frozen=True, slots=True)
class OakViewers:
    """Viewers of oak's job only."""

    status: Viewer
    events: Viewer
    log: Viewer
    errors: Viewer
    roster: Viewer

    @property
    def all(self) -> tuple[Viewer, ...]:
        """Return all viewers."""
        return self.status, self.events, self.log, self.errors, self.roster

    def check_nothing_noticed(self) -> None:
        """Check that the viewers got all of oak's events and nothing else."""
        for viewer in self.all:
            assert not viewer.has_ended
            assert viewer.error is None
            assert viewer.event_counts["gap"] == viewer.event_counts["log_gap"] == 0
            assert [data["live"] for data in viewer.event_data("source")] == [True] * (
                viewer not in (self.log, self.errors)
            )
            assert "elm" not in viewer.raw.decode()


@asynccontextmanager
async def oak_viewers(sources: TwoSources) -> AsyncIterator[OakViewers]:
    """Open viewers with a token for oak's jobs."""
    job = f"{sources.edge.address}/api/jobs/oak:lantern"
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(headers=OAK_ONLY))
        viewers = OakViewers(
            *[
                await stack.enter_async_context(open_viewer(session, url))
                for url in (
                    f"{job}/stream",
                    f"{job}/events?limit=0",
                    f"{job}/logs",
                    f"{job}/logs?contains=line&tail_lines=0",
                    f"{sources.edge.address}/api/roster/stream?details=true",
                )
            ]
        )
        await viewers.status.wait_for("job_sheets")
        await viewers.events.wait_for("source")
        await viewers.log.wait_for("log")
        await viewers.roster.wait_for("roster")
        yield viewers


async def check_progress(sources: TwoSources, viewers: OakViewers, step: int) -> None:
    """Change oak's job and check that its viewers see the change."""
    with sources.log.open("a") as file:
        file.write(f"line {step}\n")
    sources.conductor.emit("lantern", "job.said", {"step": step})
    sources.conductor.dispatch("lantern", step)
    await viewers.status.wait_for_status(current_sheet=step)
    await viewers.events.wait_for("job.said", step)
    await viewers.log.wait_for("log", step + 1)
    await viewers.errors.wait_for("log", step)
    sources.conductor.complete_sheet("lantern", step)
    assert await sources.status("/health") == 200


async def check_exit(edge: ManagedProcess) -> None:
    """Check that SIGTERM ends the edge in time and that it logged no fault."""
    edge.send_signal(signal.SIGTERM)
    assert await edge.wait(timeout_s=DRAIN_S + 2) == 0
    assert "Traceback" not in edge.log


async def test_random_data_of_one_source_does_not_reach_viewers_of_another(
    sources: TwoSources,
) -> None:
    async with oak_viewers(sources) as viewers:
        bait = f"{sources.edge.address}/api/jobs/elm:bait"
        for step in range(1, 31):
            # Viewers of the hostile source come and go; each must get an answer.
            async with (
                open_viewer(sources.session, f"{bait}/stream"),
                open_viewer(sources.session, f"{bait}/logs?contains=line"),
                open_viewer(sources.session, f"{bait}/logs", last_event_id=CURSOR),
                open_viewer(sources.session, f"{bait}/events"),
                open_viewer(
                    sources.session, f"{sources.edge.address}/api/roster/stream?details=true"
                ),
            ):
                await sources.elm.write_random(40)
                await check_progress(sources, viewers, step)
            for path in ("elm:bait", "elm:bait/logs/raw", "elm:other/status"):
                assert await sources.status(f"/api/jobs/{path}") != 500
            if not step % 5:
                keys = (ELM.changes, ELM.events, ELM.jobs, ELM.states, ELM.log("bait"))
                await sources.elm.execute("DEL", *keys)
                await sources.elm.write_valid_source(with_log=False)
        viewers.check_nothing_noticed()
    await check_exit(sources.edge)


async def test_names_with_invalid_utf_8_do_not_end_an_edge(sources: TwoSources) -> None:
    async with oak_viewers(sources) as viewers:
        await sources.elm.execute("XADD", ELM.changes, "*", "k", "state", "j", b"\xff")
        entry = EventEntry("a\nb", 1, "bait", "job.said", b"{}").fields()
        await sources.elm.execute(
            "XADD", ELM.events, "*", *(w for pair in entry.items() for w in pair)
        )
        await sources.elm.execute("XADD", ELM.log("bait"), "*", "m", "log_gap\nid: x", "d", "{}")
        await sources.elm.execute("HSET", ELM.jobs, b"\xff", b"\xff")
        for step in range(1, 4):
            await check_progress(sources, viewers, step)
        assert "elm:other" in await sources.job_ids()
        viewers.check_nothing_noticed()
    await check_exit(sources.edge)


async def test_origin_url_invalid_in_a_header_is_ignored(sources: TwoSources) -> None:
    about = RelayStatus(
        "registry", live=False, events_live=True, origin_url="http://a\r\nSet-Cookie: b"
    )
    async with open_viewer(
        sources.session, f"{sources.edge.address}/api/jobs/elm:bait/stream"
    ) as bait:
        await bait.wait_for("source")
        await sources.elm.execute("SET", ELM.status, encode_json(about))
        await wait_until(lambda: bait.event_data("source")[-1]["live"] is False)
    assert await sources.status("/api/jobs/elm:bait/logs/raw") == 501


async def test_planted_jobs_are_limited_and_delay_no_viewer(sources: TwoSources) -> None:
    async with oak_viewers(sources) as viewers:
        for first in range(0, 300_000, 10_000):
            pairs: list[str | bytes] = []
            for number in range(first, first + 10_000):
                entry = RosterEntry(f"job-{number}", "running", 1e12 + number, 1.0, 0, 1)
                pairs += [entry.job_id, encode_json(entry)]
            await sources.elm.execute("HSET", ELM.jobs, *pairs)
        await sources.elm.execute("XADD", ELM.changes, "*", "k", "jobs")
        for step in range(1, 11):
            await sources.elm.execute("XADD", ELM.changes, "*", "k", "jobs")
            await check_progress(sources, viewers, step)
        ids = [job_id for job_id in await sources.job_ids() if job_id.startswith("elm:")]
        assert len(ids) == 1000
        await wait_until(lambda: "jobs ignored source=elm" in sources.edge.log)
        viewers.check_nothing_noticed()
    await check_exit(sources.edge)
