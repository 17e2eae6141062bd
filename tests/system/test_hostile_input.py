"""Hostile input of one source or job does not affect the viewers of another."""

import asyncio
import bz2
import gzip
import lzma
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.models import RosterEntry
from marianne_stream.relay.redis_keys import SourceKeys, sources_key
from marianne_stream.relay.schema import EventEntry, RelayStatus, encode_json
from tests.support.hostile_source import HostileSource
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
class Relayed:
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
async def relayed(tmp_path: Path) -> AsyncIterator[Relayed]:
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
            )
        )
        session = await stack.enter_async_context(aiohttp.ClientSession(headers=TOKEN))
        found = Relayed(redis, conductor, log, elm, edge, session)
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
async def oak_viewers(relayed: Relayed) -> AsyncIterator[OakViewers]:
    """Open viewers with a token for oak's jobs."""
    job = f"{relayed.edge.address}/api/jobs/oak:lantern"
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
                    f"{relayed.edge.address}/api/roster/stream?details=true",
                )
            ]
        )
        await viewers.status.wait_for("job_sheets")
        await viewers.events.wait_for("source")
        await viewers.log.wait_for("log")
        await viewers.roster.wait_for("roster")
        yield viewers


async def go_on(relayed: Relayed, viewers: OakViewers, step: int) -> None:
    """Change oak's job and check that its viewers see the change."""
    with relayed.log.open("a") as file:
        file.write(f"line {step}\n")
    relayed.conductor.emit("lantern", "job.said", {"step": step})
    relayed.conductor.dispatch("lantern", step)
    await viewers.status.wait_for_status(current_sheet=step)
    await viewers.events.wait_for("job.said", step)
    await viewers.log.wait_for("log", step + 1)
    await viewers.errors.wait_for("log", step)
    relayed.conductor.complete_sheet("lantern", step)
    assert await relayed.status("/health") == 200


async def ends_when_asked(edge: ManagedProcess) -> None:
    """Check that SIGTERM ends the edge in time and that it logged no fault."""
    edge.send_signal(signal.SIGTERM)
    assert await edge.wait(timeout_s=DRAIN_S + 2) == 0
    assert "Traceback" not in edge.log


async def test_anything_in_one_sources_keys_is_not_noticed_by_anothers_viewers(
    relayed: Relayed,
) -> None:
    async with oak_viewers(relayed) as viewers:
        bait = f"{relayed.edge.address}/api/jobs/elm:bait"
        for step in range(1, 31):
            # Viewers of the hostile source come and go; each must get an answer.
            async with (
                open_viewer(relayed.session, f"{bait}/stream"),
                open_viewer(relayed.session, f"{bait}/logs?contains=line"),
                open_viewer(relayed.session, f"{bait}/events"),
                open_viewer(
                    relayed.session, f"{relayed.edge.address}/api/roster/stream?details=true"
                ),
            ):
                await relayed.elm.write_random(40)
                await go_on(relayed, viewers, step)
            for path in ("elm:bait", "elm:bait/logs/raw", "elm:other/status"):
                assert await relayed.status(f"/api/jobs/{path}") != 500
            if not step % 5:
                await relayed.elm.execute("DEL", ELM.changes, ELM.events, ELM.jobs, ELM.states)
                await relayed.elm.write_valid_source()
        viewers.check_nothing_noticed()
    await ends_when_asked(relayed.edge)


async def test_names_that_are_no_utf_8_do_not_end_an_edge(relayed: Relayed) -> None:
    async with oak_viewers(relayed) as viewers:
        await relayed.elm.execute("SADD", sources_key(PREFIX), b"\xff", b"a\nb", b"x" * 100)
        await relayed.elm.execute("XADD", ELM.changes, "*", "k", "state", "j", b"\xff")
        entry = EventEntry("a\nb", 1, "bait", "job.said", b"{}").fields()
        await relayed.elm.execute(
            "XADD", ELM.events, "*", *(w for pair in entry.items() for w in pair)
        )
        await relayed.elm.execute("XADD", ELM.log("bait"), "*", "m", "log_gap\nid: x", "d", "{}")
        await relayed.elm.execute("HSET", ELM.jobs, b"\xff", b"\xff")
        for step in range(1, 4):
            await go_on(relayed, viewers, step)
        assert "elm:other" in await relayed.job_ids()
        viewers.check_nothing_noticed()
    await ends_when_asked(relayed.edge)


async def test_an_origin_url_that_no_header_can_hold_is_none(relayed: Relayed) -> None:
    about = RelayStatus(
        "registry", live=False, events_live=True, origin_url="http://a\r\nSet-Cookie: b"
    )
    async with open_viewer(
        relayed.session, f"{relayed.edge.address}/api/jobs/elm:bait/stream"
    ) as bait:
        await bait.wait_for("source")
        await relayed.elm.execute("SET", ELM.status, encode_json(about))
        await wait_until(lambda: bait.event_data("source")[-1]["live"] is False)
    assert await relayed.status("/api/jobs/elm:bait/logs/raw") == 501


async def test_planted_sources_open_no_connections(relayed: Relayed) -> None:
    async with oak_viewers(relayed) as viewers:
        before = relayed.edge.count_open_files()
        await relayed.elm.execute(
            "SADD", sources_key(PREFIX), *(f"planted-{n}" for n in range(3_000))
        )
        # A valid publisher is found among the planted ones.
        ash = HostileSource(relayed.redis, SourceKeys(PREFIX, "ash"))
        await ash.write_valid_source()
        await wait_for_value(relayed.job_ids, lambda ids: "ash:bait" in ids, timeout_s=30)
        assert relayed.edge.count_open_files() < before + 20
        await go_on(relayed, viewers, 1)
        viewers.check_nothing_noticed()


async def test_planted_jobs_are_bounded_and_hold_up_nobody(relayed: Relayed) -> None:
    async with oak_viewers(relayed) as viewers:
        for first in range(0, 300_000, 10_000):
            pairs: list[str | bytes] = []
            for number in range(first, first + 10_000):
                entry = RosterEntry(f"job-{number}", "running", 1e12 + number, 1.0, 0, 1)
                pairs += [entry.job_id, encode_json(entry)]
            await relayed.elm.execute("HSET", ELM.jobs, *pairs)
        await relayed.elm.execute("XADD", ELM.changes, "*", "k", "jobs")
        for step in range(1, 11):
            await relayed.elm.execute("XADD", ELM.changes, "*", "k", "jobs")
            await go_on(relayed, viewers, step)
        ids = [job_id for job_id in await relayed.job_ids() if job_id.startswith("elm:")]
        assert len(ids) == 1000
        await wait_until(lambda: "jobs ignored source=elm" in relayed.edge.log)
        viewers.check_nothing_noticed()
    await ends_when_asked(relayed.edge)


MIB = 1024 * 1024
GIB = 1024 * MIB


def write_bomb(log: Path) -> None:
    """Write a rotated file of 20 MB that expands to 20 GiB and begins like the log."""
    head = gzip.compress(b"the first line\n")
    member = gzip.compress(b"\0" * (64 * MIB), 9)
    log.with_name("marianne.log.1.gz").write_bytes(head + member * (20 * GIB // (64 * MIB)))
    log.write_bytes(b"the first line\n")


def write_empty_streams(log: Path) -> None:
    """Write rotated files of millions of empty compressed streams."""
    empty = {".gz": gzip.compress(b""), ".bz2": bz2.compress(b""), ".xz": lzma.compress(b"")}
    for ending, stream in empty.items():
        log.with_name(f"marianne.log.1{ending}").write_bytes(stream * 2_000_000)
    log.write_bytes(b"the first line\n")


def write_sparse(log: Path) -> None:
    """Write a sparse log of 2 TiB."""
    with log.open("wb") as file:
        file.write(b"the first line\n")
        file.truncate(2 * 1024 * GIB)
        file.seek(0, 2)
        file.write(b"\nthe last line\n")


def write_long_line(log: Path) -> None:
    """Write a log with a line of 1 GB."""
    with log.open("wb") as file:
        file.write(b"the first line\n")
        for _ in range(1024):
            file.write(b"x" * MIB)
        file.write(b"\nthe last line\n")


HOSTILE: dict[str, Callable[[Path], None]] = {
    "bomb": write_bomb,
    "empty streams": write_empty_streams,
    "sparse": write_sparse,
    "long line": write_long_line,
}

# Requests for the hostile log: twice as many as there are threads of each kind.
REQUESTS = (
    "logs/lines",
    "logs/lines?from=start",
    "logs/lines?contains=nowhere",
    "logs/info",
    "logs?tail_lines=1000",
    "logs?follow=false&tail_lines=1000",
    "logs?tail_lines=10&contains=nowhere",
) * 2


@pytest.fixture(params=HOSTILE)
async def hostile(
    request: pytest.FixtureRequest, conductor: SimulatedConductor, tmp_path: Path
) -> str:
    """Run a job with hostile files; return the log of another job."""
    for job_id in ("hostile", "other"):
        (workspace := tmp_path / job_id).mkdir()
        conductor.launch(job_id, 2, workspace=str(workspace))
    (tmp_path / "other" / "marianne.log").write_bytes(b"one\ntwo\n")
    HOSTILE[request.param](tmp_path / "hostile" / "marianne.log")
    return "hostile"


@asynccontextmanager
async def many_viewers(address: str, job_id: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Open viewers of every endpoint of a job's log that are waiting or reading."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(f"{address}/", connector=aiohttp.TCPConnector(limit=0))
        )

        async def view(path: str) -> None:
            async with session.get(f"api/jobs/{job_id}/{path}") as answer:
                async for _ in answer.content.iter_any():
                    pass

        viewers = [asyncio.create_task(view(path)) for path in REQUESTS]
        try:
            # This request is the last: its answer shows that the server has begun with the others.
            await asyncio.sleep(0.1)
            async with session.get("health"):
                yield session
        finally:
            for viewer in viewers:
                viewer.cancel()
            await asyncio.wait(viewers)


async def test_another_jobs_log_is_answered_while_a_hostile_one_is_read(
    hostile: str, server: ManagedProcess, tmp_path: Path
) -> None:
    log = tmp_path / "other" / "marianne.log"
    async with many_viewers(server.address, hostile) as session:
        for number in range(20):
            async with session.get("api/jobs/other/logs/lines") as answer:
                lines = (await answer.json())["lines"]
                assert len(lines) == 2 + number
            url = f"{server.address}/api/jobs/other/logs"
            async with open_viewer(session, url, tail_lines="1") as viewer:
                await viewer.wait_for("log")
                with log.open("ab") as file:
                    file.write(b"%d\n" % number)
                await viewer.wait_for("log", 2)


async def test_reading_stops_once_its_viewers_have_left(
    hostile: str, server: ManagedProcess
) -> None:
    async with many_viewers(server.address, hostile):
        pass

    async def is_idle() -> bool:
        before = server.cpu_s()
        await asyncio.sleep(0.5)
        return server.cpu_s() - before < 0.05

    async with asyncio.timeout(5):
        while not await is_idle():
            pass


async def test_sigterm_ends_the_process_while_a_hostile_log_is_read(
    hostile: str, server: ManagedProcess
) -> None:
    async with many_viewers(server.address, hostile):
        server.send_signal(signal.SIGTERM)
        assert await server.wait(timeout_s=DRAIN_S + 2) == 0


async def test_a_sparse_log_is_shown_from_both_its_ends(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    conductor.launch("sparse", 2, workspace=str(tmp_path))
    write_sparse(tmp_path / "marianne.log")
    async with aiohttp.ClientSession(f"{server.address}/api/jobs/sparse/") as session:
        async with session.get("logs/lines?limit=1") as answer:
            newest = await answer.json()
        assert [line["line"] for line in newest["lines"]] == ["the last line"]
        async with session.get("logs/lines?limit=1&from=start") as answer:
            oldest = await answer.json()
        assert [line["line"] for line in oldest["lines"]] == ["the first line"]
        async with session.get("logs/info") as answer:
            assert (await answer.json())["lines"] == newest["lines"][0]["line_number"] == 3


async def test_a_bomb_is_a_gap_in_the_log(
    conductor: SimulatedConductor, server: ManagedProcess, tmp_path: Path
) -> None:
    conductor.launch("bomb", 2, workspace=str(tmp_path))
    write_bomb(tmp_path / "marianne.log")
    url = f"{server.address}/api/jobs/bomb/logs/lines"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        page = await answer.json()
    assert page["gap"]
    assert page["lines"][-1]["line"] == "the first line"
