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
from marianne_stream.notify.outbox import HOUR_S, Outbox
from marianne_stream.notify.rules import Rule, target_digest
from tests.support.outboxes import (
    EPOCH,
    RUN,
    TARGET,
    make_batch,
    read_rows,
    take_all,
    take_keys,
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
    assert await take_keys(outbox) == [
        *("a:sheet_failed:1:1", "a:waiting_for_person:2:1"),
        *("a:paused", "a:paused#2", "a:waiting_for_person"),
        *("a:sheet_failed:1:2", "a:failed", "a:cancelled", "a:completed"),
    ]
    failed = (await take_all(outbox))[6]
    assert (failed.kind, failed.rule, failed.target) == ("failed", "1", target_digest(TARGET))
    assert failed.title == "a: failed"
    assert "Sheet 1 has failed.\nError:\nexit code 1\n" in failed.body
    assert failed.body.endswith(f"https://oak.example.org/jobs/a\na@{RUN}:failed")
    assert (await outbox.count_waiting(), failed.attempts) == (9, 0)


async def test_run_that_the_store_sees_ended_at_first_sends_nothing(store: HistoryStore) -> None:
    outbox = make_outbox(store)
    await write(
        store,
        make_batch("failed", (1, "failed", 1), job_id="old", backfilled=True),
        make_batch((1, "failed", 1), "failed", job_id="quick"),
    )
    assert await take_all(outbox) == []
    assert not outbox.has_new.is_set()


async def test_first_start_tells_nothing_that_happened_before(store: HistoryStore) -> None:
    outbox = make_outbox(store)
    await write(store, make_batch("running", (1, "failed", 1), (2, "fermata", 1), backfilled=True))
    assert await take_all(outbox) == []
    await write(store, make_batch((3, "failed", 1)), make_batch("failed"))
    assert await take_keys(outbox) == ["a:sheet_failed:3:1", "a:failed"]


async def test_run_that_starts_and_ends_within_a_batch_is_told(store: HistoryStore) -> None:
    outbox = make_outbox(store)
    await write(store, make_batch("running", (1, "failed", 1), "failed"))
    assert await take_keys(outbox) == ["a:sheet_failed:1:1", "a:failed"]


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
    assert await take_keys(outbox) == ["a:sheet_failed:1:1", "a:failed"]
    await later.close()


async def test_later_run_of_a_job_is_a_run_of_its_own(store: HistoryStore) -> None:
    outbox = make_outbox(store)
    again = "2026-11-24T22:14:15Z"
    await write(store, make_batch("running", "failed"), make_batch("failed", run=again))
    await write(store, make_batch("running", "failed", run=again))
    keys = [message.key for message in await take_all(outbox)]
    assert keys == [f"a@{RUN}:failed", f"a@{again}:failed#2"]


def stalled_event(number: int, sheet: int, *, observed: str = ',"observed":true') -> EventRecord:
    data = f'{{"sheet_num":{sheet}{observed}}}'.encode()
    return EventRecord(number, "a", "sheet.stalled", data, time.time())


async def test_stalled_sheet_is_told_each_time(store: HistoryStore) -> None:
    outbox = make_outbox(store)
    events = [stalled_event(number, 2) for number in (1, 2)]
    of_conductor = stalled_event(3, 2, observed="")
    await write(
        store,
        make_batch(events=[stalled_event(4, 1)]),
        make_batch("running", (2, "dispatched", 3), events=[*events, of_conductor]),
    )
    assert await take_keys(outbox) == ["a:stalled:1:1", "a:stalled:2:3", "a:stalled:2:3#2"]


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
    found = [(each.rule, each.target, each.title) for each in await take_all(outbox)]
    assert found == [
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


async def test_message_waits_until_it_is_marked(store: HistoryStore) -> None:
    outbox = make_outbox(store)
    await write(store, RUNNING, make_batch("paused", "running", "paused", "running", "failed"))
    first, second, third = await take_all(outbox)
    now = time.time()
    assert await outbox.next_due_at() == first.created_at
    await outbox.retry(first.id, now + 60)
    await outbox.mark_sent(second.id)
    await outbox.give_up(third.id)
    assert await take_all(outbox, now) == []
    assert await outbox.next_due_at() == now + 60
    assert await outbox.count_waiting() == 1
    assert await take_all(outbox, now + 60) == [first._replace(attempts=1)]
    assert read_rows(store.path, "state, body != ''") == [
        ("waiting", 1),
        ("sent", 0),
        ("given_up", 0),
    ]


async def test_targets_are_given_their_messages_independently(store: HistoryStore) -> None:
    outbox = make_outbox(store, replace(ALL, targets=("json://a", "json://b")))
    await write(store, RUNNING, make_batch("paused", "running", "paused", "running", "failed"))
    taken = await outbox.take_due(time.time(), 2)
    assert [each.target for each in taken] == [
        target_digest("json://a"),
        target_digest("json://b"),
    ] * 2
    for message in taken:
        if message.target == target_digest("json://a"):
            await outbox.mark_sent(message.id)
    left = await outbox.take_due(time.time(), 2)
    assert [each.key for each in left if each.target == target_digest("json://a")] == [
        f"a@{RUN}:failed"
    ]
    assert len(left) == 3


async def test_messages_above_the_limit_are_summed_up_once_the_hour_allows(
    store: HistoryStore,
) -> None:
    outbox = make_outbox(store, replace(ALL, max_per_hour=2, targets=("json://a", "json://b")))
    sheets = [(number, "failed", 1) for number in range(1, 6)]
    await write(store, RUNNING, make_batch(*sheets), make_batch("failed"))
    now = time.time()
    assert await take_keys(outbox) == ["a:sheet_failed:1:1"] * 2 + ["a:sheet_failed:2:1"] * 2
    assert await outbox.count_waiting() == 4
    assert await take_keys(outbox, now + HOUR_S - 60) == await take_keys(outbox)
    for message in await take_all(outbox):
        await outbox.mark_sent(message.id)
    due_at = await outbox.next_due_at()
    assert due_at is not None
    assert now < due_at < now + HOUR_S
    summaries = await take_all(outbox, now + HOUR_S + 1)
    assert [each.kind for each in summaries] == ["summary"] * 2
    assert summaries[0].key.startswith("1@2")
    assert summaries[0].key.endswith("Z:summary")
    assert summaries[0].body.startswith(
        "4 more: 3 sheet failed, 1 failed\nhttps://oak.example.org\n"
    )
    assert await take_all(outbox, now + HOUR_S + 2) == summaries


async def test_message_that_is_stored_is_not_held_back_later(store: HistoryStore) -> None:
    outbox = make_outbox(store, replace(ALL, max_per_hour=1))
    message = make_away_notification(1000.0, None)
    for _ in range(2):
        await outbox.put(message, time.time())
    assert read_rows(store.path, "kind, state") == [("conductor_away", "waiting")]


async def test_limit_of_a_rule_holds_back_no_message_of_another(store: HistoryStore) -> None:
    outbox = make_outbox(store, replace(ALL, max_per_hour=1), replace(ALL, name="other"))
    await write(store, RUNNING, make_batch("paused", "running", "failed"))
    found = [(each.rule, each.kind, bool(each.body)) for each in await take_all(outbox)]
    assert found == [("1", "paused", True), ("other", "paused", True), ("other", "failed", True)]


async def test_summary_goes_before_a_new_message(store: HistoryStore) -> None:
    outbox = make_outbox(store, replace(ALL, max_per_hour=1))
    await write(store, RUNNING, make_batch("paused", "running", "paused", "running"))
    with closing(sqlite3.connect(store.path, isolation_level=None)) as database:
        database.execute("UPDATE notifications SET created_at = created_at - 3601")
    await write(store, make_batch("failed"))
    kinds = [message.kind for message in await take_all(outbox)]
    assert kinds == ["paused", "summary"]
    assert read_rows(store.path, "kind, state") == [
        *(("paused", "waiting"), ("summary", "waiting"), ("failed", "held")),
    ]


async def test_message_about_the_conductor_is_stored_once_for_the_rules_it_is_due_for(
    store: HistoryStore,
) -> None:
    patient = replace(ALL, away_after_s=600.0, jobs=("night-*",), name="patient")
    outbox = make_outbox(store, ALL, patient, Rule(on=("failed",), targets=(TARGET,)))
    message = make_away_notification(1000.0, None)
    for away_s in (300.0, 301.0):
        await outbox.put(message, time.time(), away_s=away_s)
    assert [each.rule for each in await take_all(outbox)] == ["1"]
    assert outbox.has_new.is_set()
    await outbox.put(message, time.time(), away_s=600.0)
    assert [each.rule for each in await take_all(outbox)] == ["1", "patient"]


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
    assert await take_keys(outbox) == ["a:failed#2"]


async def test_batch_that_is_not_stored_has_no_message(store: HistoryStore) -> None:
    outbox = make_outbox(store)
    await write(store, RUNNING)
    bad = [EventRecord(1, "a", "x", [], 0.0)]  # type: ignore[arg-type]
    with pytest.raises(HistoryUnavailableError):
        await write(store, make_batch("failed", events=bad))
    assert read_rows(store.path, "*") == []
    await write(store, make_batch("failed"))
    assert await take_keys(outbox) == ["a:failed"]


async def test_calls_of_a_store_that_is_not_open_raise(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path / "other.db", max_age_s=3600, max_bytes=10**7)
    outbox = make_outbox(store)
    with pytest.raises(HistoryUnavailableError):
        await outbox.take_due(0.0, 1)


async def test_old_messages_are_removed_unless_they_wait(
    store: HistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = make_outbox(store)
    await write(store, make_batch("running", "paused", "running", "paused", "running", "failed"))
    sent, given_up, waiting = await take_all(outbox)
    await outbox.mark_sent(sent.id)
    await outbox.give_up(given_up.id)
    await store.prune()
    assert len(read_rows(store.path, "*")) == 3
    monkeypatch.setattr(retention, "NOTIFICATION_AGE_S", -1.0)
    await store.prune()
    assert read_rows(store.path, "id") == [(waiting.id,)]


async def test_messages_of_a_run_that_was_removed_are_kept(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path / "small.db", max_age_s=0, max_bytes=10**8)
    await store.open()
    outbox = make_outbox(store)
    await write(store, make_batch("running", "failed"))
    assert len(await store.prune()) == 1
    assert await take_keys(outbox) == ["a:failed"]
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
    assert await take_keys(outbox) == ["a:failed"]
    await store.close()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


async def test_store_holds_no_target(store: HistoryStore) -> None:
    outbox = make_outbox(store)
    await write(store, RUNNING, make_batch("failed"))
    await outbox.put(make_away_notification(1000.0, None), time.time())
    await store.close()
    files = [path.read_bytes() for path in store.path.parent.iterdir()]
    assert not any(b"hunter2" in content for content in files)
