"""Outbox: the messages that wait in the history until each of their targets has taken them."""

import asyncio
import contextlib
import math
import sqlite3
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from marianne_stream.history.records import EventRecord
from marianne_stream.history.store import HistoryStore
from marianne_stream.notify.changes import describe_change, find_changes, find_free_repeat
from marianne_stream.notify.message import Notification, add_repeat, make_summary
from marianne_stream.notify.rules import Rule, rules_by_name, target_digest
from marianne_stream.wire.job_patterns import JobPatterns

HOUR_S = 3600.0

# Time between two looks for rules whose limit allows a summary.
SUMMARY_INTERVAL_S = 60.0

INSERT = """
INSERT OR IGNORE INTO notifications
VALUES (NULL, :key, :kind, :job_id, :rule, :target, :title, :body, :now, :now, 0, :state)
"""
COUNT_RECENT = """
SELECT count(DISTINCT key) FROM notifications
WHERE rule = ? AND created_at > ? AND state != 'held'
"""
COUNT_HELD = """
SELECT kind, count(DISTINCT key) FROM notifications
WHERE rule = ? AND state = 'held' GROUP BY kind ORDER BY 2 DESC, 1
"""
SELECT_DUE = """
SELECT id, key, kind, rule, target, title, body, created_at, attempts FROM (
    SELECT *, row_number() OVER (PARTITION BY target ORDER BY due_at, id) AS position
    FROM notifications WHERE state = 'waiting' AND due_at <= ?
) WHERE position <= ? ORDER BY id
"""


class OutboxMessage(NamedTuple):
    """A message that waits for one target, which is given by its digest.

    `rule` is the rule's name, `created_at` is in epoch seconds, and `attempts` have failed.
    """

    id: int
    key: str
    kind: str
    rule: str
    target: str
    title: str
    body: str
    created_at: float
    attempts: int


class Outbox:
    """Stores the messages of rules, each in the transaction that stores its change.

    Make it in the event loop, before the history opens. Its calls raise as `HistoryStore.write`.

    Args:
        store: the history.
        rules: the rules.
        public_url: address at which users reach this server; None if it is unknown.

    Attributes:
        has_new: set when messages were stored; the task that delivers them clears it.
    """

    def __init__(
        self, store: HistoryStore, rules: Sequence[Rule], *, public_url: str | None
    ) -> None:
        self.has_new = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._store = store
        self._rules = rules_by_name(rules)
        self._jobs = {name: JobPatterns(rule.jobs) for name, rule in self._rules.items()}
        self._public_url = public_url
        store.on_write = self.on_write

    def on_write(
        self, database: sqlite3.Connection, last_rowid: int, events: Sequence[EventRecord]
    ) -> None:
        """Store the messages about a batch; see `WriteHook`."""
        now, left = time.time(), dict[str, int]()
        for change in find_changes(database, last_rowid, events):
            names = [
                name
                for name, rule in self._rules.items()
                if change.kind in rule.on and self._jobs[name](change.job_id)
            ]
            for name in names:
                if name not in left:
                    left[name] = self._summarize(database, name, now)
            # Of a message that is held back, only its kind is told.
            found: Notification | None = Notification(change.key, *change[:4], title="", body="")
            if any(left[name] > 0 for name in names):
                found = describe_change(database, change, self._public_url)
            if found is not None:
                self._add(database, names, found, now, left)
        if left:
            # The loop may have been closed while the disk was slow.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.has_new.set)

    async def put(
        self, notification: Notification, now: float, *, away_s: float = math.inf
    ) -> None:
        """Store a message about the conductor, unless it is stored already.

        Args:
            notification: the message.
            now: the time, in epoch seconds.
            away_s: time for which the conductor has not answered, in seconds; rules that wait
                longer are left out.
        """
        names = [
            name
            for name, rule in self._rules.items()
            if notification.kind in rule.on and rule.away_after_s <= away_s
        ]

        def put(database: sqlite3.Connection) -> None:
            left = {name: self._summarize(database, name, now) for name in names}
            self._add(database, names, notification, now, left)

        await self._store.execute(put)
        self.has_new.set()

    async def take_due(self, now: float, limit_per_target: int) -> list[OutboxMessage]:
        """Return the messages that are due, oldest first, with the summaries that are.

        A message is returned again until it is marked.

        Args:
            now: the time, in epoch seconds.
            limit_per_target: largest number of messages for each target.
        """

        def take(database: sqlite3.Connection) -> list[OutboxMessage]:
            query = "SELECT DISTINCT rule FROM notifications WHERE state = 'held'"
            for (name,) in database.execute(query).fetchall():
                if name in self._rules:
                    self._summarize(database, name, now)
            rows = database.execute(SELECT_DUE, (now, limit_per_target))
            return [OutboxMessage(*row) for row in rows]

        return await self._store.execute(take)

    async def next_due_at(self) -> float | None:
        """Return the time at which `take_due` may return something; None if nothing waits."""
        held = await self._select("SELECT min(1) FROM notifications WHERE state = 'held'")
        due_at = await self._select("SELECT min(due_at) FROM notifications WHERE state = 'waiting'")
        times = [due_at, time.time() + SUMMARY_INTERVAL_S if held else None]
        return min((at for at in times if at is not None), default=None)

    async def mark_sent(self, message_id: int) -> None:
        """Mark a message as sent, and remove its text."""
        await self._update("state = 'sent', body = ''", message_id)

    async def retry(self, message_id: int, due_at: float) -> None:
        """Let a message that could not be sent wait until a time, in epoch seconds."""
        await self._update("attempts = attempts + 1, due_at = ?", due_at, message_id)

    async def give_up(self, message_id: int) -> None:
        """Mark a message as one that is not sent any more, and remove its text."""
        await self._update("state = 'given_up', body = ''", message_id)

    async def count_waiting(self) -> int:
        """Return the number of messages that wait, counted for each target."""
        count = await self._select("SELECT count(*) FROM notifications WHERE state = 'waiting'")
        return int(count or 0)

    async def _select(self, query: str) -> float | None:
        row = await self._store.execute(lambda database: database.execute(query).fetchone())
        value: float | None = row[0]
        return value

    async def _update(self, assignments: str, *values: float) -> None:
        statement = f"UPDATE notifications SET {assignments} WHERE id = ?"  # noqa: S608
        await self._store.execute(lambda database: database.execute(statement, values))

    def _add(
        self,
        database: sqlite3.Connection,
        names: Iterable[str],
        notification: Notification,
        now: float,
        left: dict[str, int],
    ) -> None:
        """Insert a message of rules, each of which may still send `left` messages."""
        for name in names:
            state = "waiting" if left[name] > 0 else "held"
            self._insert(database, name, notification, now, state)
            left[name] -= 1

    def _summarize(self, database: sqlite3.Connection, name: str, now: float) -> int:
        """Sum up the held messages of a rule if its limit allows; return how many it may send."""
        (recent,) = database.execute(COUNT_RECENT, (name, now - HOUR_S)).fetchone()
        left = self._rules[name].max_per_hour - int(recent)
        counts = dict(database.execute(COUNT_HELD, (name,)).fetchall()) if left > 0 else {}
        if not counts:
            return left
        database.execute("DELETE FROM notifications WHERE rule = ? AND state = 'held'", (name,))
        key = f"{name}@{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%HZ}:summary"
        key = add_repeat(key, find_free_repeat(database, key))
        summary = make_summary(key, counts, self._public_url)
        self._insert(database, name, summary, now, "waiting")
        return left - 1

    def _insert(
        self, database: sqlite3.Connection, name: str, sent: Notification, now: float, state: str
    ) -> None:
        values = {"rule": name, "now": now, "state": state, "key": sent.key, "kind": sent.kind}
        values |= {"job_id": sent.job_id, "title": sent.title, "body": sent.body}
        targets = self._rules[name].targets[: None if state == "waiting" else 1]
        database.executemany(INSERT, ({**values, "target": target_digest(url)} for url in targets))
