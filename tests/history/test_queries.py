"""Queries of the history: what they read, and how much."""

import sqlite3
from collections.abc import Iterator

import pytest

from marianne_stream.history import queries
from marianne_stream.history.migrations import migrate


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    """Yield an empty history."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    migrate(database)
    yield database
    database.close()


def add_event(
    database: sqlite3.Connection, seq: int, job_id: str | None, data: bytes = b"{}"
) -> None:
    database.execute(
        "INSERT INTO events VALUES (?, ?, ?, ?, ?)", (seq, job_id, "job.started", data, float(seq))
    )


def test_events_of_several_jobs_are_in_order_with_all_gaps(database: sqlite3.Connection) -> None:
    for seq in range(1, 31):
        add_event(database, seq, (None, "a", "b", "c", "d", "e")[seq % 6])
    for jobs in (("a",), ("c", "a"), ("none",), ("a", "b", "c", "d", "e"), ("a", "a")):
        events, complete_to = queries.select_events_after(database, 3, jobs)
        wanted = [seq for seq in range(4, 31) if (None, *"abcde")[seq % 6] in {None, *jobs}]
        assert [event.seq for event in events] == wanted
        assert complete_to == 30
    events, _ = queries.select_events_after(database, 3, ())
    assert [event.seq for event in events] == list(range(4, 31))


def test_page_of_a_busy_job_reads_no_more_than_the_page(database: sqlite3.Connection) -> None:
    database.execute("BEGIN")
    for seq in range(1, 20_001):
        add_event(database, seq, "busy" if seq % 10 else "idle")
    database.execute("COMMIT")
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 100

    database.set_progress_handler(count, 100)
    events, complete_to = queries.select_events_after(database, 0, ["busy", "idle"])
    assert len(events) == queries.MAX_PAGE_EVENTS
    assert complete_to == events[-1].seq == queries.MAX_PAGE_EVENTS
    # Each row takes about ten steps of the virtual machine; sorting all would take 200,000.
    assert steps < 100 * queries.MAX_PAGE_EVENTS


def test_event_stored_while_a_page_is_read_is_on_the_next_page(
    database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seq in range(1, 6):
        add_event(database, seq, "a")
    find_rows = queries.find_event_rows

    def find_delayed(*args: object) -> object:
        add_event(database, 6, "a")
        return find_rows(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(queries, "find_event_rows", find_delayed)
        first, complete_to = queries.select_events_after(database, 0, ["a"])
    second, _ = queries.select_events_after(database, complete_to, ["a"])
    assert [event.seq for event in (*first, *second)] == [1, 2, 3, 4, 5, 6]
