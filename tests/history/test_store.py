"""The history store: what is written is read again, within its limits, by one writer."""

import asyncio
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from marianne_stream.errors import (
    HistoryClosedError,
    HistoryLockedError,
    HistoryUnavailableError,
)
from marianne_stream.history import queries
from marianne_stream.history.migrations import MIGRATIONS
from marianne_stream.history.records import (
    EventRecord,
    RecordedRun,
    RunRecord,
    SheetRecord,
    Transition,
    WriteBatch,
)
from marianne_stream.history.store import HistoryStore, history_path
from tests.support.waiting import wait_until

NOW = time.time()
EPOCH = "e" * 16


def make_run(job_id: str = "a", run: str = "2026-01-01T00:00:00Z", **changes: object) -> RunRecord:
    record = RunRecord(
        job_id, run, NOW, "running", NOW, None, 2, 0, None, 0.0, None, None, None, NOW
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def make_sheet(number: int = 1, status: str = "dispatched") -> SheetRecord:
    return SheetRecord(
        *("a", "2026-01-01T00:00:00Z", number, status, 1, NOW, None, True, False),
        *(None, None, None, "cli", "1"),
    )


def make_event(number: int, job_id: str = "a", size: int = 10) -> EventRecord:
    return EventRecord(number, job_id, "job.started", b'"' + b"x" * size + b'"', NOW)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[HistoryStore]:
    """Yield an open store with small limits."""
    store = HistoryStore(tmp_path / "history.db", max_age_s=3600, max_bytes=1024 * 1024)
    await store.open()
    yield store
    await store.close()


async def read_run(store: HistoryStore) -> RecordedRun:
    """Return the run of the tests with its first sheets."""
    query = partial(queries.select_run, job_id="a", run=make_run().run, after=0, limit=10)
    found = await store.read(query)
    assert found is not None
    recorded, has_more = found
    assert not has_more
    return recorded


async def test_records_are_read_as_written(store: HistoryStore) -> None:
    transition = Transition("a", make_run().run, 1, NOW, "dispatched", 1, backfilled=False)
    await store.write(WriteBatch([make_run()], [make_sheet()], [transition]), EPOCH)
    recorded = await read_run(store)
    assert (recorded.run, recorded.sheets, recorded.transitions) == (
        make_run(),
        {1: make_sheet()},
        (transition,),
    )
    found = await store.read(partial(queries.find_run, job_id="a", submitted_at=NOW + 0.9))
    assert found == make_run()
    assert await store.read(partial(queries.find_run, job_id="a", submitted_at=NOW + 1.1)) is None


async def test_transition_is_written_once(store: HistoryStore) -> None:
    first = Transition("a", make_run().run, 1, NOW, "dispatched", 1, backfilled=False)
    again = first._replace(seen_at=NOW + 5, backfilled=True)
    waits, goes_on = first._replace(status="waiting"), first._replace(seen_at=NOW + 9)
    for batch in ([first], [again], [again, waits, goes_on], [again]):
        await store.write(WriteBatch([make_run()], [make_sheet()], batch), EPOCH)
    recorded = await read_run(store)
    assert set(recorded.transitions) == {first, waits, goes_on}


async def test_attempts_of_a_completed_sheet_that_are_counted_anew_are_no_transition(
    store: HistoryStore,
) -> None:
    first = Transition("a", make_run().run, 1, NOW, "completed", 2, backfilled=False)
    failed = first._replace(number=2, status="failed")
    for batch in (
        [first, failed],
        [first._replace(attempt=1), first._replace(attempt=None), failed._replace(attempt=1)],
        [first._replace(attempt=3)],
    ):
        await store.write(WriteBatch([make_run()], [], batch), EPOCH)
    recorded = await read_run(store)
    assert [(each.status, each.attempt) for each in recorded.transitions] == [
        ("completed", 2),
        ("failed", 2),
        ("failed", 1),
        ("completed", 3),
    ]


async def test_run_that_has_not_changed_grows_old(store: HistoryStore) -> None:
    for run in (make_run(), make_run(changed_at=NOW + 60)):
        await store.write(WriteBatch([run]), EPOCH)
    query = partial(queries.select_runs, job_id="a", limit=9)
    assert await store.read(query) == [make_run()]
    changed = make_run(changed_at=NOW + 90, completed_sheets=1)
    await store.write(WriteBatch([changed]), EPOCH)
    assert await store.read(query) == [changed]


async def test_events_of_two_epochs_have_one_order_and_a_gap(store: HistoryStore) -> None:
    first = (await store.begin_restored_epoch(EPOCH, 0, 0)).epoch
    await store.write(WriteBatch(events=[make_event(1), make_event(2)]), EPOCH)
    second = (await store.begin_restored_epoch("f" * 16, 0, 0)).epoch
    await store.write(WriteBatch(events=[make_event(4)]), "f" * 16)
    assert (first.first_number, second.first_number) == (1, 3)
    events = await store.read(partial(queries.select_newest_events, limit=10, max_bytes=10_000))
    assert [(event.seq, event.job_id) for event in events] == [
        (1, "a"),
        (2, "a"),
        (3, None),
        (4, "a"),
    ]
    older, newer = await store.read(queries.select_epochs)
    # An event that was sent and not stored counts as the last that was.
    assert [older.to_seq(number) for number in (1, 2, 7)] == [1, 2, 2]
    assert newer.to_seq(4) == 4


async def test_numbers_are_not_given_again_after_all_events_are_removed(
    store: HistoryStore,
) -> None:
    await store.begin_epoch(EPOCH, 0)
    old = [replace(make_event(number), seen_at=NOW - 7200) for number in (1, 2, 3)]
    await store.write(WriteBatch(events=old), EPOCH)
    await store.prune()
    assert await store.read(partial(queries.select_newest_events, limit=9, max_bytes=999)) == []
    assert (await store.read(queries.select_dropped)).of_all == 3
    assert (await store.begin_epoch("f" * 16, 0)).first_seq == 4


async def test_old_runs_are_removed(store: HistoryStore) -> None:
    runs = [
        make_run("ended", status="failed", changed_at=NOW - 7200),
        make_run("open", changed_at=NOW - 7200),
        make_run("new", status="failed"),
    ]
    await store.write(WriteBatch(runs), EPOCH)
    open_run = ("open", make_run().run)
    assert await store.prune([open_run]) == {("ended", make_run().run)}
    # Its end was not seen.
    assert await store.prune() == {open_run}
    left = await store.read(lambda database: database.execute("SELECT job_id FROM runs").fetchall())
    assert left == [("new",)]


async def test_runs_of_a_large_job_are_removed_before_records_of_others(
    store: HistoryStore,
) -> None:
    await store.begin_epoch(EPOCH, 0)
    events = [make_event(number, "quiet", 1000) for number in range(1, 101)]
    names = [f"2026-01-{day:02}T00:00:00Z" for day in range(1, 21)]
    runs = [
        make_run("a", name, changed_at=NOW - 1000 + at, status=["running", "failed"][at % 2])
        for at, name in enumerate(names)
    ]
    error = "e" * 300
    sheets = [
        replace(make_sheet(number), run=name, error_message=error)
        for name in names
        for number in range(1, 201)
    ]
    await store.write(WriteBatch([*runs, make_run("old", changed_at=NOW - 2000)], sheets), EPOCH)
    await store.write(WriteBatch(events=events), EPOCH)
    assert {job_id for job_id, _ in await store.prune()} == {"a"}
    assert store.size_bytes <= 1024 * 1024
    left = await store.read(partial(queries.select_runs, job_id="a", limit=99))
    assert [run.run for run in left] == names[: -len(left) - 1 : -1]
    assert 0 < len(left) < 5
    assert len(await store.read(partial(queries.select_runs, job_id="old", limit=9))) == 1
    newest = await store.read(partial(queries.select_newest_events, limit=999, max_bytes=10**7))
    assert len(newest) == 100


async def test_many_jobs_that_are_not_large_lose_their_oldest_runs(store: HistoryStore) -> None:
    names = [f"job-{number}" for number in range(300)]
    runs = [make_run(name, changed_at=NOW - 1000 + at) for at, name in enumerate(names)]
    sheets = [
        replace(make_sheet(number), job_id=name, error_message="e" * 300)
        for name in names
        for number in range(1, 21)
    ]
    await store.write(WriteBatch(runs, sheets), EPOCH)
    open_run = ("job-0", make_run().run)
    removed = await store.prune([open_run])
    assert store.size_bytes <= 1024 * 1024
    assert {job_id for job_id, _ in removed} == set(names[1 : 1 + len(removed)])
    assert 0 < len(removed) < 300


async def test_epochs_and_marks_of_removed_events_are_removed(store: HistoryStore) -> None:
    epochs = [letter * 16 for letter in "abc"]
    old = [replace(make_event(number), seen_at=NOW - 7200) for number in (1, 2)]
    await store.begin_epoch(epochs[0], 0)
    await store.write(WriteBatch(events=old[:1]), epochs[0])
    await store.begin_epoch(epochs[1], 0)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as database:
        database.execute("UPDATE epochs SET started_at = started_at - 7200")
        database.execute("UPDATE events SET seen_at = seen_at - 7200")
    database.close()
    await store.begin_epoch(epochs[2], 0)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as database:
        database.execute("INSERT INTO dropped_events VALUES ('a', 1), ('b', 3)")
    database.close()
    await store.prune()
    left = await store.read(queries.select_epochs)
    assert [epoch.epoch for epoch in left] == epochs[2:]
    assert await store.read(queries.select_dropped) == queries.DroppedEvents(2, {"b": 3})


async def test_size_is_bounded_and_a_job_leaves_room_for_others(store: HistoryStore) -> None:
    await store.begin_epoch(EPOCH, 0)
    noisy = [make_event(number, "noisy", 1000) for number in range(1, 3001)]
    quiet = [make_event(number, "quiet", 1000) for number in range(3001, 3101)]
    await store.write(WriteBatch(events=noisy), EPOCH)
    await store.write(WriteBatch(events=quiet), EPOCH)
    await store.prune()
    assert store.size_bytes <= 1024 * 1024
    left = await store.read(partial(queries.select_newest_events, limit=9999, max_bytes=10**9))
    jobs = [event.job_id for event in left]
    assert jobs.count("quiet") == 100
    assert 200 < jobs.count("noisy") <= 256
    dropped = await store.read(queries.select_dropped)
    assert dropped.by_job["noisy"] > 0
    assert "quiet" not in dropped.by_job


async def test_second_writer_is_refused_and_reads(store: HistoryStore) -> None:
    await store.write(WriteBatch([make_run()]), EPOCH)
    other = HistoryStore(store.path, max_age_s=3600, max_bytes=10**7)
    with pytest.raises(HistoryLockedError):
        await other.open()
    assert await other.read(partial(queries.select_runs, job_id="a", limit=1)) == [make_run()]
    await store.close()
    await other.open()
    await other.close()


@pytest.mark.parametrize("reads", [0, 1])
async def test_closed_history_is_not_opened_again(store: HistoryStore, reads: int) -> None:
    for _ in range(reads):
        assert await store.read(queries.select_open_jobs) == []
    await store.close()
    with pytest.raises(HistoryClosedError):
        await store.read(queries.select_open_jobs)
    await wait_until(lambda: "history-read" not in {each.name for each in threading.enumerate()})


COUNT_RUNS = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
print(*database.execute("SELECT count(*) FROM runs").fetchone())
database.close()
"""


async def count_runs_outside(path: Path) -> int:
    """Return the number of stored runs, as another program reads it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COUNT_RUNS, path), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return int(output)


async def test_reader_becomes_writer_beside_a_program_that_opens_and_closes_the_file(
    store: HistoryStore,
) -> None:
    """SQLite removes the log of a database that nobody has open, as its locks tell."""
    await store.write(WriteBatch([make_run("a")]), EPOCH)
    other = HistoryStore(store.path, max_age_s=3600, max_bytes=10**7)
    await other.read(queries.select_open_jobs)
    await store.close()
    await other.open()
    await other.write(WriteBatch([make_run("b")]), EPOCH)
    assert await count_runs_outside(store.path) == 2
    await other.write(WriteBatch([make_run("c")]), EPOCH)
    assert await count_runs_outside(store.path) == 3
    await other.close()
    assert await count_runs_outside(store.path) == 3


@pytest.mark.parametrize("content", [b"no database at all " * 100, b"SQLite format 3\0" * 100])
async def test_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "history.db"
    path.write_bytes(content)
    with pytest.raises(HistoryUnavailableError):
        await HistoryStore(path, max_age_s=3600, max_bytes=10**7).open()
    assert path.read_bytes() == content


async def test_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    database.close()
    before = path.read_bytes()
    with pytest.raises(HistoryUnavailableError, match="schema version"):
        await HistoryStore(path, max_age_s=3600, max_bytes=10**7).open()
    assert path.read_bytes() == before


async def test_newer_schema_of_a_file_that_is_being_read_is_refused(store: HistoryStore) -> None:
    query = partial(queries.select_runs, job_id="a", limit=1)
    assert await store.read(query) == []
    with closing(sqlite3.connect(store.path, isolation_level=None)) as database:
        database.execute("ALTER TABLE runs ADD COLUMN later TEXT")
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    database.close()
    with pytest.raises(HistoryUnavailableError, match="schema version"):
        await store.read(query)


async def test_statements_of_a_query_see_one_state(store: HistoryStore) -> None:
    await store.begin_epoch(EPOCH, 0)

    def count_twice(database: sqlite3.Connection) -> list[int]:
        counts = []
        for _ in range(2):
            counts += database.execute("SELECT count(*) FROM events").fetchone()
            with closing(sqlite3.connect(store.path, isolation_level=None)) as writer:
                writer.execute("INSERT INTO events VALUES (NULL, 'a', 'x', '', 0)")
            writer.close()
        return counts

    assert await store.read(count_twice) == [0, 0]
    assert await store.read(count_twice) == [2, 2]


@pytest.mark.parametrize("value", [2**63, [], "\ud800"])
async def test_value_that_sqlite_cannot_hold_is_an_error_of_the_store(
    store: HistoryStore, value: object
) -> None:
    with pytest.raises(HistoryUnavailableError):
        await store.write(WriteBatch([make_run(error_message=value)]), EPOCH)
    await store.write(WriteBatch([make_run()]), EPOCH)


async def test_file_is_private_and_named_after_the_socket(tmp_path: Path) -> None:
    paths = {history_path(tmp_path, Path(name)) for name in ("/tmp/a.sock", "/tmp/b.sock")}
    assert len(paths) == 2
    store = HistoryStore(paths.pop(), max_age_s=3600, max_bytes=10**7)
    await store.open()
    assert store.path.stat().st_mode & 0o777 == 0o600
    await store.close()
