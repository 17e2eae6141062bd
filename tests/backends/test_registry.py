"""The registry beside a running conductor, and without one."""

import asyncio
import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from marianne_stream.backends import reader_thread
from marianne_stream.backends.registry import Query, RegistryBackend
from marianne_stream.backends.registry_file import FileStamp
from marianne_stream.backends.values import MAX_TEXT_CHARS
from marianne_stream.errors import CorruptStateError, JobNotFoundError, StateUnreadableError
from marianne_stream.value_limits import MAX_ERROR_CHARS
from tests.support.registry_database import SCHEMA, RegistryConnection, open_registry, put_row

RECORDING = Path(__file__).parents[3] / "shared" / "recordings" / "daemon-state.db"

# A view that SQLite can count rows of until it is interrupted.
ENDLESS = """
CREATE VIEW jobs AS SELECT 'a' AS job_id, (
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n
) AS status
"""


def checkpoint(job_id: str, **fields: Any) -> str:
    """Return a checkpoint of two sheets, one of them completed."""
    sheets = {"2": {"status": "in_progress"}, "1": {"status": "completed"}}
    shown = {"job_id": job_id, "status": "running", "total_sheets": 2, "sheets": sheets}
    return json.dumps({**shown, "updated_at": "2026-11-23T19:24:54.875461Z", **fields})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a registry, in a folder that a URI must quote."""
    folder = tmp_path / "a folder?with #1 & 100%"
    folder.mkdir()
    return folder / "daemon-state.db"


@pytest.fixture
def conductor(path: Path) -> Iterator[RegistryConnection]:
    """Yield a running conductor, whose rows are all in the -wal."""
    with closing(open_registry(path)) as connection:
        assert path.with_name(f"{path.name}-wal").exists()
        yield connection


@pytest.fixture
async def registry(path: Path) -> AsyncIterator[RegistryBackend]:
    """Yield a backend of the registry, and close it."""
    registry = RegistryBackend(lambda: path, busy_timeout_s=0.05)
    yield registry
    await registry.close()


def has_no_leaks(path: Path) -> bool:
    """Return True if reads have left no thread and no descriptor."""
    for _ in range(1000):
        threads = [each for each in threading.enumerate() if each.name.startswith("registry")]
        files = [each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
        if not threads and not any(str(file).startswith(str(path)) for file in files):
            return True
        time.sleep(0.002)
    return False


async def read_error(registry: RegistryBackend, path: Path) -> str:
    """Return the error of a read; check that it has no path for clients, and creates nothing."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(StateUnreadableError) as caught:
        await registry.read_roster()
    assert sorted(path.parent.iterdir()) == before
    assert "/" not in caught.value.detail
    return str(caught.value)


async def test_roster_newest_first_with_source(
    registry: RegistryBackend, conductor: RegistryConnection
) -> None:
    put_row(conductor, "old", submitted_at=1000.0, started_at=1001.5, workspace="/ws/old")
    put_row(conductor, "new", submitted_at=3000.0, status="paused_at_chain", total_sheets=7)
    put_row(conductor, "middle", submitted_at=2000.0)
    roster = await registry.read_roster()
    assert list(roster.entries) == ["new", "middle", "old"]
    assert (roster.source, roster.live) == ("registry", False)
    assert roster.entries["new"].status == "paused_at_chain"
    assert roster.entries["new"].total_sheets == 7
    assert roster.entries["old"].started_at == 1001.5
    assert roster.entries["old"].workspace == "/ws/old"


async def test_end_of_restarted_job_omitted(
    registry: RegistryBackend, conductor: RegistryConnection
) -> None:
    put_row(conductor, "over", status="failed", completed_at=2000.5)
    put_row(conductor, "again", status="running", completed_at=2000.5)
    put_row(conductor, "odd", status="failed", completed_at="yesterday")
    entries = (await registry.read_roster()).entries
    ends = {job_id: entry.completed_at for job_id, entry in entries.items()}
    assert ends == {"over": 2000.5, "again": None, "odd": None}


async def test_damaged_checkpoint_affects_own_job_only(
    registry: RegistryBackend, conductor: RegistryConnection
) -> None:
    damages = [
        "",
        "null",
        '{"job_id": "a',
        b"\xff",
        "[" * 9999,
        checkpoint("a", sheets={"one": {}}),
    ]
    for damage in damages:
        put_row(conductor, "damaged", checkpoint_json=damage)
        with pytest.raises(CorruptStateError, match="damaged"):
            await registry.read_job("damaged", None)
    put_row(conductor, "whole", checkpoint_json=checkpoint("whole"))
    assert (await registry.read_job("whole", None)).completed_sheets == 1
    assert len((await registry.read_roster()).entries) == 2


async def test_row_status_overrides_checkpoint(
    registry: RegistryBackend, conductor: RegistryConnection
) -> None:
    text = checkpoint("a", status="running")
    put_row(conductor, "a", status="cancelled", completed_at=1795461896.64, checkpoint_json=text)
    state = await registry.read_job("a", None)
    assert state.status == "cancelled"
    assert state.is_final
    assert state.completed_at == "2026-11-23T19:24:56.640Z"
    assert (state.source, state.live) == ("registry", False)
    assert (state.completed_sheets, state.total_sheets, state.current_sheet) == (1, 2, 2)


async def test_job_without_checkpoint_state_from_row(
    registry: RegistryBackend, conductor: RegistryConnection
) -> None:
    put_row(conductor, "a", status="failed", total_sheets=3, workspace="/ws", snapshot_path="/s")
    state = await registry.read_job("a", None)
    assert (state.status, state.total_sheets, state.sheets) == ("failed", 3, ())
    assert (state.workspace, state.snapshot_path) == ("/ws", "/s")
    assert state.submitted_at == "1970-01-01T00:16:40.000Z"
    assert state.is_final


async def test_error_message_from_checkpoint_row_or_sheet(
    registry: RegistryBackend, conductor: RegistryConnection
) -> None:
    sheets = {"1": {"status": "failed", "error_message": "sheet's"}}
    orders = [("its", "row's", "its"), (None, "row's", "row's"), (None, None, "sheet's")]
    for first, second, shown in orders:
        text = checkpoint("a", error_message=first, sheets=sheets)
        put_row(conductor, "a", error_message=second, checkpoint_json=text)
        assert (await registry.read_job("a", None)).error_message == shown
    put_row(conductor, "a", error_message="x" * (MAX_TEXT_CHARS + 1), checkpoint_json=None)
    assert (await registry.read_job("a", None)).error_message == "x" * MAX_TEXT_CHARS


async def test_roster_has_the_beginning_of_a_failed_sheets_error(
    registry: RegistryBackend, conductor: RegistryConnection
) -> None:
    sheets = {
        "2": {"status": "failed", "error_message": "second"},
        "1": {"status": "failed", "error_message": "first " * 100},
    }
    put_row(conductor, "a", status="failed", checkpoint_json=checkpoint("a", sheets=sheets))
    row = {"status": "failed", "error_message": "row's"}
    put_row(conductor, "b", **row, checkpoint_json=checkpoint("b", sheets=sheets))
    put_row(conductor, "c", status="running", checkpoint_json=checkpoint("c", sheets=sheets))
    put_row(conductor, "d", status="failed", checkpoint_json=checkpoint("d", sheets={"x": {}}))
    entries = (await registry.read_roster()).entries
    beginning = ("first " * 100)[:MAX_ERROR_CHARS]
    assert {job_id: entry.error_message for job_id, entry in entries.items()} == {
        "a": beginning,
        "b": "row's",
        "c": None,
        "d": None,
    }


async def test_hooks_and_the_job_they_started(
    registry: RegistryBackend, conductor: RegistryConnection
) -> None:
    results = [
        {"hook_type": "run_job", "success": True, "chained_job_id": "next", "output": "submitted"},
        {"hook_type": "run_command", "success": False, "error_message": "exit code 2"},
    ]
    text = checkpoint("a")
    put_row(conductor, "a", checkpoint_json=text, hook_results_json=json.dumps(results))
    first, second = (await registry.read_job("a", None)).hooks
    assert (first.hook_type, first.success, first.chained_job_id) == ("run_job", True, "next")
    assert (second.success, second.error_message) == (False, "exit code 2")
    for damaged in ("{", "[1]", 7, "[" * 100_000):
        put_row(conductor, "a", checkpoint_json=text, hook_results_json=damaged)
        assert (await registry.read_job("a", None)).hooks == ()


async def test_job_without_row_not_found(
    registry: RegistryBackend, conductor: RegistryConnection
) -> None:
    put_row(conductor, "a'b")
    assert (await registry.read_job("a'b", None)).job_id == "a'b"
    for job_id in ("a", "", "%", "lone \udcff surrogate", "a\0b"):
        with pytest.raises(JobNotFoundError):
            await registry.read_job(job_id, None)


async def test_row_without_status_skipped_in_roster(
    registry: RegistryBackend, conductor: RegistryConnection
) -> None:
    put_row(conductor, "a", status=None)
    put_row(conductor, "b", status=b"\xff")
    put_row(conductor, None)
    put_row(conductor, "c", submitted_at=1e300, started_at="now", total_sheets="many")
    conductor.execute("UPDATE jobs SET workspace = CAST(x'2fff' AS TEXT)")
    assert list((await registry.read_roster()).entries) == ["c"]
    with pytest.raises(CorruptStateError):
        await registry.read_job("a", None)


async def test_older_registry_read_with_missing_columns(
    registry: RegistryBackend, path: Path
) -> None:
    with closing(open_registry(path, "CREATE TABLE jobs (job_id, status)")) as conductor:
        conductor.execute("INSERT INTO jobs VALUES ('a', 'completed')")
        assert (await registry.read_job("a", None)).is_final
        assert list((await registry.read_roster()).entries) == ["a"]
        conductor.execute("ALTER TABLE jobs RENAME status TO state")
        assert "has no column named status" in await read_error(registry, path)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path, "there is no registry at"),
        (Path.mkdir, "is a folder"),
        (os.mkfifo, "is not a regular file"),
        (lambda path: path.symlink_to(path), "is not accessible"),
        (lambda path: path.write_text("no database" * 500), "file is not a database"),
        (Path.touch, "has no table named jobs"),
    ],
)
async def test_invalid_registry_described_and_never_created(
    registry: RegistryBackend, path: Path, make: Callable[[Path], object], reason: str
) -> None:
    make(path)
    assert reason in await read_error(registry, path)


async def test_read_does_not_block_wal_checkpoint(
    registry: RegistryBackend, conductor: RegistryConnection, path: Path
) -> None:
    put_row(conductor, "a")
    await registry.read_roster()
    busy, *_ = conductor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0
    put_row(conductor, "b")
    assert "b" in (await registry.read_roster()).entries


async def test_wal_found_through_link(
    conductor: RegistryConnection, path: Path, tmp_path: Path
) -> None:
    put_row(conductor, "a")
    link = tmp_path / "link.db"
    link.symlink_to(path)
    registry = RegistryBackend(lambda: link)
    assert "a" in (await registry.read_roster()).entries
    await registry.close()


async def test_replaced_registry_noticed_without_leftovers(
    registry: RegistryBackend, path: Path
) -> None:
    for job_id in ("first", "second"):
        new = path.with_name("new.db")
        with closing(open_registry(new)) as conductor:
            put_row(conductor, job_id)
        new.replace(path)
        assert list((await registry.read_roster()).entries) == [job_id]
        assert list(path.parent.iterdir()) == [path]


def after_each_read(registry: RegistryBackend, act: Callable[[FileStamp], object]) -> None:
    """Run a function between each query and the comparison of stamps."""
    ask = registry._run_query

    def ask_and_act(seen: FileStamp, question: Query[Any], abandoned: threading.Event) -> Any:
        answer = ask(seen, question, abandoned)
        act(seen)
        return answer

    registry.__dict__["_run_query"] = ask_and_act


async def test_conductor_started_during_read_noticed(registry: RegistryBackend, path: Path) -> None:
    open_registry(path).close()
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with closing(connection) as conductor:
        after_each_read(registry, lambda seen: put_row(conductor, seen.uri.partition("?")[2]))
        assert list((await registry.read_roster()).entries) == ["mode=ro&immutable=1"]


async def test_registry_changing_during_each_read_raises(
    registry: RegistryBackend, path: Path
) -> None:
    open_registry(path).close()
    after_each_read(registry, lambda seen: os.utime(path, ns=(0, seen.mtime_ns + 1)))
    assert "changed during each of 3 reads" in await read_error(registry, path)


async def test_locked_registry_times_out(registry: RegistryBackend, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as conductor:
        conductor.execute(SCHEMA)
        conductor.execute("BEGIN EXCLUSIVE")
        put_row(conductor, "a")
        assert "database is locked" in await read_error(registry, path)
        conductor.execute("COMMIT")
    assert "a" in (await registry.read_roster()).entries


async def test_slow_query_interrupted(
    registry: RegistryBackend, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_registry(path, ENDLESS).close()
    monkeypatch.setattr(reader_thread, "READ_TIMEOUT_S", 0.1)
    expected = f"the registry {path} cannot be read: no answer within 0.1 s"
    assert await read_error(registry, path) == expected
    monkeypatch.setattr(reader_thread, "READ_TIMEOUT_S", 2.0)
    await registry.close()
    assert has_no_leaks(path)


@pytest.mark.parametrize("view", [False, True], ids=["quick", "endless"])
async def test_cancelled_read_leaks_nothing(
    registry: RegistryBackend, path: Path, *, view: bool
) -> None:
    open_registry(path, ENDLESS if view else SCHEMA).close()
    for turns in range(30):
        read = asyncio.create_task(registry.read_roster())
        for _ in range(turns):
            await asyncio.sleep(0.0002 if view else 0)
        read.cancel()
        await asyncio.wait((read,))
        assert read.cancelled() or not view
    await registry.close()
    assert has_no_leaks(path)


@pytest.mark.skipif(not RECORDING.exists(), reason="the recordings are not beside this checkout")
async def test_recorded_registry_readable(registry: RegistryBackend, path: Path) -> None:
    shutil.copyfile(RECORDING, path)
    assert list((await registry.read_roster()).entries) == ["tick", "fan", "failing", "wt"]
    whole = await registry.read_job("wt", None)
    assert (whole.status, whole.progress_percent, whole.is_final) == ("completed", 100.0, True)
    assert whole.snapshot_path == "/home/marianne/.marianne/snapshots/wt/1795461867"
    assert (await registry.read_job("failing", None)).error_message == "Exit code 1"
    cancelled = await registry.read_job("tick", None)
    assert (cancelled.status, cancelled.completed_sheets, cancelled.is_final) == (
        "cancelled",
        1,
        True,
    )
