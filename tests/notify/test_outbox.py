"""The outbox: which messages are stored, in which order and number they are given out."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from marianne_stream.errors import HistoryUnavailableError
from marianne_stream.history import queries, retention
from marianne_stream.history.migrations import MIGRATIONS, SCHEMA_VERSION
from marianne_stream.history.records import EventRecord
from marianne_stream.history.store import HistoryStore
from marianne_stream.notify.message import make_away_notification
from marianne_stream.notify.outbox import HOUR_S, MAX_AGE_S, GivenUp, Outbox
from marianne_stream.notify.rules import Rule, target_digest
from tests.support.outboxes import (
    EPOCH,
    RUN,
    TARGET,
    make_batch,
    read_keys,
    read_rows,
    read_waiting,
    write,
)

ALL = Rule(
    on=(
        *("failed", "completed", "cancelled", "paused", "waiting_for_person", "stalled"),
        *("sheet_failed", "conductor_away"),
    ),
    targets=(TARGET,),
)
RUNNING = make_batch("running")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[HistoryStore]:
    """Yield an open store that has stored its epoch."""
    store = HistoryStore(tmp_path / "history.db", max_age_s=10**9, max_bytes=10**8)
    await store.open()
    await store.begin_epoch(EPOCH, 0)
    yield store
    await store.close()


def make_outbox(store: HistoryStore, *rules: Rule) -> Outbox:
    return Outbox(store, rules or [ALL], public_url="https://oak.example.org")


async def test_changes_of_a_run_become_messages_with_keys(store: HistoryStore) -> None:
    outbox = make_outbox(store)
    await write(
        store,
        RUNNING,
        make_batch((1, "failed", 1), (2, "fermata", 1), (3, "completed", 1)),
        make_batch("paused", "running", "paused", "running", "paused_at_chain"),
        make_batch((1, "dispatched", 2), (1, "failed", 2), "failed"),
        make_batch("running", "cancelled", "running", "completed"),
    )
    assert await read_keys(outbox) == [
        *("a:sheet_failed:1:1", "a:waiting_for_person:2:1"),
        *("a:paused", "a:paused#2", "a:waiting_for_person"),
        *("a:sheet_failed:1:2", "a:failed", "a:cancelled", "a:completed"),
    ]
    failed = (await read_waiting(outbox))[6]
    assert failed.rule == "1"
    assert failed.title == "a: failed"
    assert "Sheet 1 has failed.\nError:\nexit code 1\n" in failed.body
    assert failed.body.endswith(f"https://oak.example.org/jobs/a\na@{RUN}:failed")
    assert await outbox.count_waiting() == 9
    assert read_rows(store.path, "kind, target")[6] == ("failed", target_digest(TARGET))


async def test_run_that_the_store_sees_ended_at_first_sends_nothing(store: HistoryStore) -> None:
    outbox = make_outbox(store)
    await write(
        store,
        make_batch("failed", (1, "failed", 1), job_id="old", backfilled=True),
        make_batch((1, "failed", 1), "failed", job_id="quick"),
    )
    assert await read_waiting(outbox) == []
    assert not outbox.has_new.is_set()


async def test_first_start_tells_nothing_that_happened_before(store: HistoryStore) -> None:
    outbox = make_outbox(store)
    await write(store, make_batch("running", (1, "failed", 1), (2, "fermata", 1), backfilled=True))
    assert await read_waiting(outbox) == []
    await write(store, make_batch((3, "failed", 1)), make_batch("failed"))
    assert await read_keys(outbox) == ["a:sheet_failed:3:1", "a:failed"]


async def test_run_that_starts_and_ends_within_a_batch_is_told(store: HistoryStore) -> None:
    outbox = make_outbox(store)
    await write(store, make_batch("running", (1, "failed", 1), "failed"))
    assert await read_keys(outbox) == ["a:sheet_failed:1:1", "a:failed"]


async def test_run_that_ended_while_no_server_ran_is_told_once(store: HistoryStore) -> None:
    make_outbox(store)
    await write(store, RUNNING)
    await store.close()
    later = HistoryStore(store.path, max_age_s=10**9, max_bytes=10**8)
    await later.open()
    outbox = make_outbox(later)
    ended = make_batch((1, "failed", 1), "failed", backfilled=True)
    await later.begin_epoch("f" * 16, 0)
    for _ in range(2):
        await later.write(ended, "f" * 16)
    assert await read_keys(outbox) == ["a:sheet_failed:1:1", "a:failed"]
    await later.close()


async def test_later_run_of_a_job_is_a_run_of_its_own(store: HistoryStore) -> None:
    outbox = make_outbox(store)
    again = "2026-11-24T22:14:15Z"
    await write(store, make_batch("running", "failed"), make_batch("failed", run=again))
    await write(store, make_batch("running", "failed", run=again))
    keys = [message.key for message in await read_waiting(outbox)]
    assert keys == [f"a@{RUN}:failed", f"a@{again}:failed#2"]


def stalled_event(number: int, sheet: int, *, observed: str = ',"observed":true') -> EventRecord:
    data = f'{{"sheet_num":{sheet}{observed}}}'.encode()
    return EventRecord(number, "a", "sheet.stalled", data, time.time())


async def test_stalled_sheet_is_told_once_for_each_attempt(store: HistoryStore) -> None:
    outbox = make_outbox(store)
    events = [stalled_event(number, 2) for number in (1, 2)]
    of_conductor = stalled_event(3, 2, observed="")
    await write(
        store,
        make_batch(events=[stalled_event(4, 1)]),
        make_batch("running", (2, "dispatched", 3), events=[*events, of_conductor]),
    )
    assert await read_keys(outbox) == ["a:stalled:1:1", "a:stalled:2:3"]


async def test_rules_select_jobs_and_kinds_and_have_targets_of_their_own(
    store: HistoryStore,
) -> None:
    night = Rule(on=("failed",), jobs=("night-*",), targets=("json://a", "json://b"), name="night")
    outbox = make_outbox(store, night, Rule(on=("completed",), targets=(TARGET, TARGET)))
    for job_id in ("night-1", "day"):
        await write(
            store,
            make_batch("running", job_id=job_id),
            make_batch("failed", job_id=job_id),
            make_batch("completed", job_id=job_id),
        )
    assert await outbox.count_waiting() == 4
    assert read_rows(store.path, "rule, target, title") == [
        ("night", target_digest("json://a"), "night-1: failed"),
        ("night", target_digest("json://b"), "night-1: failed"),
        ("2", target_digest(TARGET), "night-1: completed"),
        ("2", target_digest(TARGET), "day: completed"),
    ]


async def test_stored_message_wakes_the_task_that_delivers(store: HistoryStore) -> None:
    outbox = make_outbox(store)
    await write(store, RUNNING, make_batch((1, "completed", 1)))
    assert not outbox.has_new.is_set()
    await write(store, make_batch("failed"))
    await asyncio.wait_for(outbox.has_new.wait(), 10)


async def test_message_waits_until_it_is_marked_and_a_failed_one_goes_last(
    store: HistoryStore,
) -> None:
    outbox = make_outbox(store)
    await write(store, RUNNING, make_batch("paused", "running", "paused", "running", "failed"))
    first, second, third = await read_waiting(outbox)
    digest = target_digest(TARGET)
    assert await outbox.find_next(digest) == first
    await outbox.mark_failed(first.id)
    assert await outbox.find_next(digest) == second
    await outbox.mark_sent(second.id)
    await outbox.mark_failed(third.id)
    assert await outbox.find_next(digest) == first
    assert await outbox.find_next("another") is None
    assert await outbox.count_waiting() == 2
    assert read_rows(store.path, "state, attempts, body != ''") == [
        *(("waiting", 1, 1), ("sent", 0, 0), ("waiting", 1, 1)),
    ]


@pytest.mark.parametrize("step_s", [0.0, 365 * 86400.0])
async def test_old_messages_are_given_up_together(store: HistoryStore, step_s: float) -> None:
    outbox = make_outbox(store, replace(ALL, targets=("json://a", "json://b")))
    await write(store, RUNNING, make_batch("paused", "running", "paused"))
    now = time.time()
    assert await outbox.tidy(now + MAX_AGE_S - 60) == []
    # A clock that was ahead delays no message.
    with closing(sqlite3.connect(store.path, isolation_level=None)) as database:
        database.execute("UPDATE notifications SET created_at = created_at + ?", (step_s,))
    assert await outbox.find_next(target_digest("json://a")) is not None
    given_up = await outbox.tidy(now + step_s + MAX_AGE_S + 60)
    assert sorted(given_up) == sorted(
        GivenUp("1", target_digest(url), 2, f"a@{RUN}:paused#2") for url in ("json://a", "json://b")
    )
    assert await outbox.count_waiting() == 0
    assert set(read_rows(store.path, "state, body")) == {("given_up", "")}


async def test_messages_above_the_limit_are_summed_up_after_an_hour(store: HistoryStore) -> None:
    outbox = make_outbox(store, replace(ALL, max_per_hour=2, targets=("json://a", "json://b")))
    sheets = [(number, "failed", 1) for number in range(1, 6)]
    await write(store, RUNNING, make_batch(*sheets), make_batch("failed"))
    now = time.time()
    first = ["a:sheet_failed:1:1"] * 2 + ["a:sheet_failed:2:1"] * 2
    assert await read_keys(outbox) == first
    await outbox.tidy(now + HOUR_S - 60)
    assert await read_keys(outbox) == first
    for _ in range(2):
        await outbox.tidy(now + HOUR_S + 1)
    summaries = (await read_waiting(outbox))[4:]
    assert len(summaries) == 2
    assert summaries[0].key.startswith("1@2")
    assert summaries[0].key.endswith("Z:summary")
    assert summaries[0].body.startswith(
        "4 more: 3 sheet failed, 1 failed\nhttps://oak.example.org\n"
    )


async def test_limit_allows_messages_again_after_an_hour(store: HistoryStore) -> None:
    outbox = make_outbox(store, replace(ALL, max_per_hour=1))
    await write(store, RUNNING, make_batch("paused", "running", "paused", "running"))
    for age_s in (HOUR_S + 1, -365 * 86400.0):
        with closing(sqlite3.connect(store.path, isolation_level=None)) as database:
            database.execute("UPDATE notifications SET created_at = ?", (time.time() - age_s,))
        await write(store, make_batch("paused", "running"))
    assert await read_keys(outbox) == ["a:paused", "a:paused#3", "a:paused#4"]
    assert read_rows(store.path, "kind, count", "held_notifications") == [("paused", 1)]


async def test_summary_of_a_removed_rule_is_left_out(store: HistoryStore) -> None:
    make_outbox(store, replace(ALL, max_per_hour=1, name="gone"))
    await write(store, RUNNING, make_batch("paused", "running", "failed"))
    outbox = make_outbox(store)
    await outbox.tidy(time.time() + HOUR_S + 1)
    assert await read_keys(outbox) == ["a:paused"]
    assert read_rows(store.path, "*", "held_notifications") == []


async def test_outbox_takes_no_more_than_a_quarter_of_the_store(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = HistoryStore(tmp_path / "small.db", max_age_s=10**9, max_bytes=20_000)
    await store.open()
    outbox = make_outbox(store)
    await write(store, RUNNING, make_batch(*((number, "failed", 1) for number in range(1, 41))))
    assert len(await read_waiting(outbox)) == 40
    await store.prune()
    left = await read_keys(outbox)
    assert 5 < len(left) < 20
    assert left[-1] == "a:sheet_failed:40:1"
    assert f"notifications dropped count={40 - len(left)}" in caplog.text
    await store.close()


async def test_message_that_is_stored_is_not_held_back_later(store: HistoryStore) -> None:
    outbox = make_outbox(store, replace(ALL, max_per_hour=1))
    message = make_away_notification(1000.0, None)
    for _ in range(2):
        await outbox.put(message, away_s=300.0)
    assert read_rows(store.path, "kind, state") == [("conductor_away", "waiting")]
    assert read_rows(store.path, "*", "held_notifications") == []


async def test_limit_of_a_rule_holds_back_no_message_of_another(store: HistoryStore) -> None:
    outbox = make_outbox(store, replace(ALL, max_per_hour=1), replace(ALL, name="other"))
    await write(store, RUNNING, make_batch("paused", "running", "failed"))
    assert await outbox.count_waiting() == 3
    assert read_rows(store.path, "rule, kind") == [
        *(("1", "paused"), ("other", "paused"), ("other", "failed")),
    ]


async def test_message_about_the_conductor_is_stored_once_for_the_rules_it_is_due_for(
    store: HistoryStore,
) -> None:
    patient = replace(ALL, away_after_s=600.0, jobs=("night-*",), name="patient")
    outbox = make_outbox(store, ALL, patient, Rule(on=("failed",), targets=(TARGET,)))
    message = make_away_notification(1000.0, None)
    for away_s in (300.0, 301.0):
        await outbox.put(message, away_s=away_s)
    assert [each.rule for each in await read_waiting(outbox)] == ["1"]
    assert outbox.has_new.is_set()
    await outbox.put(message, away_s=600.0)
    assert [each.rule for each in await read_waiting(outbox)] == ["1", "patient"]


async def test_failure_of_the_hook_is_logged_and_the_batch_is_stored(
    store: HistoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = make_outbox(store)

    def fail(database: sqlite3.Connection, last_rowid: int, events: object) -> None:
        outbox.on_write(database, last_rowid, [])
        raise RuntimeError("broken")

    store.on_write = fail
    await write(store, RUNNING, make_batch("failed"))
    assert "notifications not stored" in caplog.text
    assert await store.read(queries.select_open_jobs) == []
    assert read_rows(store.path, "*") == []
    store.on_write = outbox.on_write
    await write(store, make_batch("running", "failed"))
    assert await read_keys(outbox) == ["a:failed#2"]


async def test_batch_that_is_not_stored_has_no_message(store: HistoryStore) -> None:
    outbox = make_outbox(store)
    await write(store, RUNNING)
    bad = [EventRecord(1, "a", "x", [], 0.0)]  # type: ignore[arg-type]
    with pytest.raises(HistoryUnavailableError):
        await write(store, make_batch("failed", events=bad))
    assert read_rows(store.path, "*") == []
    await write(store, make_batch("failed"))
    assert await read_keys(outbox) == ["a:failed"]


async def test_calls_of_a_store_that_is_not_open_raise(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path / "other.db", max_age_s=3600, max_bytes=10**7)
    outbox = make_outbox(store)
    with pytest.raises(HistoryUnavailableError):
        await outbox.find_next("a")


async def test_old_messages_are_removed_unless_they_wait(
    store: HistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = make_outbox(store)
    await write(store, make_batch("running", "paused", "running", "paused", "running", "failed"))
    sent, *waiting = await read_waiting(outbox)
    await outbox.mark_sent(sent.id)
    await store.prune()
    assert len(read_rows(store.path, "*")) == 3
    monkeypatch.setattr(retention, "NOTIFICATION_AGE_S", -1.0)
    await store.prune()
    assert await read_waiting(outbox) == waiting


async def test_messages_of_a_run_that_was_removed_are_kept(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path / "small.db", max_age_s=0, max_bytes=10**8)
    await store.open()
    outbox = make_outbox(store)
    await write(store, make_batch("running", "failed"))
    assert len(await store.prune()) == 1
    assert await read_keys(outbox) == ["a:failed"]
    await store.close()


async def test_history_of_the_first_version_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(f"{MIGRATIONS[0]} PRAGMA user_version = 1;")
        database.execute(
            "INSERT INTO transitions VALUES ('a', ?, 0, 1.0, 'running', NULL, 0)", (RUN,)
        )
    store = HistoryStore(path, max_age_s=10**9, max_bytes=10**8)
    await store.open()
    outbox = make_outbox(store)
    await write(store, make_batch("failed"))
    assert await read_keys(outbox) == ["a:failed"]
    await store.close()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


async def test_store_holds_no_target(store: HistoryStore) -> None:
    outbox = make_outbox(store)
    await write(store, RUNNING, make_batch("failed"))
    await outbox.put(make_away_notification(1000.0, None), away_s=300.0)
    await store.close()
    files = [path.read_bytes() for path in store.path.parent.iterdir()]
    assert not any(b"hunter2" in content for content in files)
