"""Stores that cannot be used, and bad requests to the history, over real processes."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.history.migrations import SCHEMA_VERSION
from tests.support.history_servers import (
    STREAM,
    emit_steps,
    fetch_json,
    find_history,
    kill,
    received_steps,
    run_recording_server,
    run_watched_server,
    stop,
    wait_for_step,
    wait_subscribed,
    wait_until_stored,
)
from tests.support.mounts import mount_tmpfs, remount_read_only
from tests.support.processes import ManagedProcess, run_process, run_server
from tests.support.server_restart import make_server_options
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_for_value, wait_until


def write_garbage(path: Path) -> None:
    path.write_bytes(b"no database at all " * 1000)


def damage_pages(path: Path) -> None:
    """Write a valid header with damaged pages behind it."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, data BLOB)")
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    database.close()
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xa5" * (len(content) - 100))


def write_newer(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()


def put_directory(path: Path) -> None:
    path.mkdir()


async def check_streams_work(conductor: SimulatedConductor, server: ManagedProcess) -> None:
    """Check that all but the history works, and that its absence was logged once."""
    conductor.launch("works")
    assert (await fetch_json(server.address, "/health"))[0] == 200
    async with aiohttp.ClientSession() as session:
        url = server.address
        async with (
            open_viewer(session, f"{url}/api/jobs/works/stream") as job,
            open_viewer(session, f"{url}/api/roster/stream") as roster,
            open_viewer(session, url + STREAM, last_event_id=f"t-{'0' * 16}-1") as events,
        ):
            await job.wait_for("job_sheets")
            await roster.wait_for("roster")
            await wait_subscribed(conductor)
            emit_steps(conductor, 1, job_id="works")
            await events.wait_for("test.step")
    assert server.log.count("history turned off") == 1
    assert "Traceback" not in server.log


@pytest.mark.parametrize("spoil", [write_garbage, damage_pages, write_newer, put_directory])
async def test_store_that_is_no_history_turns_it_off(
    conductor: SimulatedConductor, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    (path := find_history(tmp_path)).parent.mkdir()
    spoil(path)
    content = path.read_bytes() if path.is_file() else b""
    async with run_recording_server(tmp_path) as server:
        await check_streams_work(conductor, server)
        for address in (
            "/api/jobs/works/runs",
            "/api/jobs/works/runs/latest",
            "/api/jobs/works/events/list",
            "/api/summary?since=2026-01-01T00:00:00Z",
        ):
            status, answer = await fetch_json(server.address, address)
            assert (status, answer["code"]) == (404, "history_disabled"), address
        await stop(server)
    assert not path.is_file() or path.read_bytes() == content


async def record_one_run(conductor: SimulatedConductor, folder: Path) -> None:
    """Let a server record the job `old`, which is complete, and stop it."""
    conductor.launch("old", 1)
    async with run_recording_server(folder) as server:
        await wait_subscribed(conductor)
        conductor.complete_sheet("old", 1)
        conductor.finish("old")

        async def read_status() -> object:
            _, page = await fetch_json(server.address, "/api/jobs/old/runs")
            return [run["status"] for run in page["runs"]]

        await wait_for_value(read_status, lambda found: found == ["completed"])
        await stop(server)


async def test_read_only_store_turns_recording_off(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    with mount_tmpfs(tmp_path / "data", size_kib=4096):
        await record_one_run(conductor, tmp_path)
        remount_read_only(tmp_path / "data")
        async with run_recording_server(tmp_path) as server:
            await check_streams_work(conductor, server)
            status, page = await fetch_json(server.address, "/api/jobs/old/runs")
    assert (status, [run["status"] for run in page["runs"]]) == (200, ["completed"])


async def test_full_disk_turns_recording_off(conductor: SimulatedConductor, tmp_path: Path) -> None:
    with mount_tmpfs(tmp_path / "data", size_kib=1024):
        await record_one_run(conductor, tmp_path)
        async with run_recording_server(tmp_path) as server:
            await wait_subscribed(conductor)
            for number in range(200):
                conductor.emit("old", "test.large", {"text": f"{number} " * 3000})
                await asyncio.sleep(0)
            await wait_until(lambda: "history turned off" in server.log)
            await check_streams_work(conductor, server)
            status, page = await fetch_json(server.address, "/api/jobs/old/runs")
            assert (status, len(page["runs"])) == (200, 1)
            await stop(server)


async def test_second_server_reads_and_takes_over(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    await record_one_run(conductor, tmp_path)
    conductor.launch("a")
    async with (
        run_recording_server(tmp_path) as first,
        run_recording_server(tmp_path) as second,
        aiohttp.ClientSession() as session,
    ):
        await wait_until(lambda: conductor.statistics.monitor_streams_open == 2)
        await wait_until(lambda: second.log.count("history not recorded") == 1)
        assert (await fetch_json(second.address, "/api/jobs/old/runs"))[0] == 200
        async with open_viewer(session, second.address + STREAM) as viewer:
            await viewer.wait_for("source")
            emit_steps(conductor, 1)
            await wait_for_step(viewer, 1)
            await kill(first)
            await wait_until(lambda: "history recorded" in second.log)
            emit_steps(conductor, 2)
            await wait_for_step(viewer, 2)
            cursor = next(event.event_id for event in viewer.events if event.event == "test.step")
        assert second.log.count("history not recorded") == 1
        await wait_until_stored(tmp_path, 2)
        await kill(second)
        async with run_watched_server(tmp_path, conductor, cursor) as (_, viewer):
            emit_steps(conductor, 3)
            await wait_for_step(viewer, 3)
            steps = received_steps(viewer)
    assert [step for step in steps if isinstance(step, int)][-2:] == [2, 3]


async def test_two_conductors_have_two_histories(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    conductors = []
    for folder in folders:
        folder.mkdir()
        conductors.append(SimulatedConductor(folder / "c.sock", shutdown_grace_s=0))
        await conductors[-1].start()
        conductors[-1].launch(f"job-of-{folder.name}")
    shared = ("--data-dir", tmp_path / "data")
    try:
        async with run_server(folders[0], *shared) as one, run_server(folders[1], *shared) as two:
            for server, own, other in ((one, "one", "two"), (two, "two", "one")):

                async def count(server: ManagedProcess = server, own: str = own) -> int:
                    _, page = await fetch_json(server.address, f"/api/jobs/job-of-{own}/runs")
                    return len(page.get("runs", ()))

                await wait_for_value(count, lambda found: found == 1)
                status, _ = await fetch_json(server.address, f"/api/jobs/job-of-{other}/runs")
                assert status == 404
            assert "history" not in one.log + two.log
    finally:
        for each in conductors:
            await each.kill()
    assert len(list((tmp_path / "data").glob("history-*.db"))) == 2


async def test_history_none_opens_no_file(conductor: SimulatedConductor, tmp_path: Path) -> None:
    conductor.launch("a")
    async with run_recording_server(tmp_path, "--history", "none") as server:
        await wait_until(lambda: conductor.statistics.requests)
        status, answer = await fetch_json(server.address, "/api/jobs/a/runs")
        assert (status, answer["code"]) == (404, "history_disabled")
    assert list((tmp_path / "data").glob("history*")) == []


BAD_TEXTS = (
    "'; DROP TABLE runs; --",
    '"',
    "\u2028\U0001f4a9",
    "x" * 10_000,
    "\0",
    "9" * 400,
    "-1",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-01-01T00:00:00",
)


async def test_bad_parameters_get_clear_answers(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    await record_one_run(conductor, tmp_path)
    async with run_recording_server(tmp_path) as server:
        for path, name in (
            ("/api/summary", "since"),
            ("/api/jobs/old/events/list", "before"),
            ("/api/jobs/old/events/list", "limit"),
            ("/api/jobs/old/runs", "limit"),
            ("/api/jobs/old/runs", "before"),
        ):
            for text in BAD_TEXTS:
                status, answer = await fetch_json(server.address, path, **{name: text})
                assert (status, answer["code"]) == (400, "bad_parameter"), (path, text)
                assert name in answer["detail"]
                assert len(answer["detail"]) < 300
        for text in BAD_TEXTS:
            path = f"/api/jobs/old/runs/{quote(text, safe='')}"
            status, answer = await fetch_json(server.address, path)
            assert (status, answer["code"]) == (404, "run_not_found"), text
            assert len(answer["detail"]) < 300
    assert "Traceback" not in server.log


async def test_token_for_some_jobs_sees_nothing_of_others(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    await record_one_run(conductor, tmp_path)
    tokens = tmp_path / "tokens"
    tokens.write_text("token-of-others-0123456789 other-*\n")
    tokens.chmod(0o600)
    since = datetime.fromtimestamp(time.time() - 3600, UTC).isoformat()
    async with run_recording_server(tmp_path) as server:
        _, summary = await fetch_json(server.address, "/api/summary", since=since)
        assert [run["job_id"] for run in summary["ended"]] == ["old"]
    async with (
        run_process(
            *("-m", "marianne_stream", "--port", 0, "--token-file", tokens),
            *make_server_options(tmp_path),
            *("--data-dir", tmp_path / "data"),
        ) as server,
        aiohttp.ClientSession(
            headers={"Authorization": "Bearer token-of-others-0123456789"}
        ) as session,
    ):
        for path in ("runs", "runs/latest", "events/list", "events"):
            async with session.get(f"{server.address}/api/jobs/old/{path}") as response:
                assert response.status == 404, path
        url = f"{server.address}/api/summary"
        async with session.get(url, params={"since": since}) as response:
            summary = await response.json()
        assert (summary["ended"], summary["stalled"], summary["waiting"]) == ([], [], [])
