"""Outbox: the messages that wait in the history until each of their targets has taken them."""

import asyncio
import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from marianne_stream.history.records import EventRecord
from marianne_stream.history.store import HistoryStore
from marianne_stream.notify.changes import describe_change, find_changes
from marianne_stream.notify.message import Notification, make_summary
from marianne_stream.notify.rules import Rule, rules_by_name, target_digest
from marianne_stream.wire.job_patterns import JobPatterns

HOUR_S = 3600.0

# Age at which a message that waits is given up.
MAX_AGE_S = 24 * 3600.0

INSERT = """
INSERT OR IGNORE INTO notifications
VALUES (NULL, :key, :kind, :job_id, :rule, :target, :title, :body, :now, 0, 'waiting')
"""
COUNT_RECENT = """
SELECT count(DISTINCT key) FROM notifications
WHERE rule = ? AND kind != 'summary' AND created_at > ? AND created_at <= ?
"""
HOLD = """
INSERT INTO held_notifications VALUES (:rule, :kind, :count, :now)
ON CONFLICT (rule, kind) DO UPDATE SET count = count + excluded.count
"""
# A clock may have been set back meanwhile.
SELECT_SUMMARY_RULES = """
SELECT rule FROM held_notifications GROUP BY rule
HAVING min(since) <= :now - :hour_s OR min(since) > :now
"""
SELECT_HELD = """
SELECT kind, count FROM held_notifications WHERE rule = ? ORDER BY count DESC, kind
"""
SELECT_NEXT = """
SELECT id, key, rule, title, body FROM notifications
WHERE state = 'waiting' AND target = ? ORDER BY attempts, id LIMIT 1
"""
GIVE_UP = """
UPDATE notifications SET state = 'given_up', body = ''
WHERE state = 'waiting' AND created_at < ? RETURNING rule, target, key
"""


class OutboxMessage(NamedTuple):
    """A message that waits for a target. `rule` is the name of its rule."""

    id: int
    key: str
    rule: str
    title: str
    body: str


class GivenUp(NamedTuple):
    """Messages of a rule for a target that have waited for too long, with the key of the last."""

    rule: str
    target: str
    total: int
    last_key: str


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
        limits = RuleLimits(database, self._rules)
        for change in find_changes(database, last_rowid, events):
            names = [
                name
                for name, rule in self._rules.items()
                if change.kind in rule.on and self._jobs[name](change.job_id)
            ]
            if allowed := limits.select_allowed(names, change.kind):
                message = describe_change(database, change, self._public_url)
                if message is not None:
                    self._insert(database, allowed, message)
        limits.store_held()
        if limits.is_used:
            # The loop may have been closed while the disk was slow.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.has_new.set)

    async def put(self, notification: Notification, *, away_s: float) -> None:
        """Store a message about the conductor, unless it is stored already.

        Args:
            notification: the message.
            away_s: time for which the conductor has not answered, in seconds; rules that wait
                longer are left out.
        """
        names = [
            name
            for name, rule in self._rules.items()
            if notification.kind in rule.on and rule.away_after_s <= away_s
        ]

        def put(database: sqlite3.Connection) -> None:
            query = "SELECT rule FROM notifications WHERE key = ?"
            told = {name for (name,) in database.execute(query, (notification.key,))}
            limits = RuleLimits(database, self._rules)
            allowed = limits.select_allowed(
                [name for name in names if name not in told], notification.kind
            )
            self._insert(database, allowed, notification)
            limits.store_held()

        await self._store.execute(put)
        self.has_new.set()

    async def find_next(self, target: str) -> OutboxMessage | None:
        """Return the next message for a target, by its digest; None if none waits.

        The one with the fewest attempts comes first, and of these the oldest.
        """
        query = (SELECT_NEXT, (target,))
        row = await self._store.execute(lambda database: database.execute(*query).fetchone())
        return None if row is None else OutboxMessage(*row)

    async def mark_sent(self, message_id: int) -> None:
        """Mark a message as sent, and remove its text."""
        await self._update("state = 'sent', body = ''", message_id)

    async def mark_failed(self, message_id: int) -> None:
        """Count an attempt to send a message that has failed."""
        await self._update("attempts = attempts + 1", message_id)

    async def count_waiting(self) -> int:
        """Return the number of messages that wait, counted for each target."""
        query = "SELECT count(*) FROM notifications WHERE state = 'waiting'"
        row = await self._store.execute(lambda database: database.execute(query).fetchone())
        return int(row[0])

    async def tidy(self, now: float) -> list[GivenUp]:
        """Give up messages that have waited for a day, and make the summaries that are due.

        Args:
            now: the time, in epoch seconds.
        """

        def tidy(database: sqlite3.Connection) -> list[GivenUp]:
            values = {"now": now, "hour_s": HOUR_S}
            for (name,) in database.execute(SELECT_SUMMARY_RULES, values).fetchall():
                self._summarize(database, name, now)
            found: dict[tuple[str, str], list[str]] = {}
            for rule, target, key in database.execute(GIVE_UP, (now - MAX_AGE_S,)):
                found.setdefault((rule, target), []).append(key)
            return [GivenUp(*which, len(keys), keys[-1]) for which, keys in found.items()]

        return await self._store.execute(tidy)

    async def _update(self, assignments: str, message_id: int) -> None:
        statement = f"UPDATE notifications SET {assignments} WHERE id = ?"  # noqa: S608
        await self._store.execute(lambda database: database.execute(statement, (message_id,)))

    def _summarize(self, database: sqlite3.Connection, name: str, now: float) -> None:
        """Replace what is counted of a rule by one message."""
        counts = dict(database.execute(SELECT_HELD, (name,)).fetchall())
        database.execute("DELETE FROM held_notifications WHERE rule = ?", (name,))
        if name in self._rules:
            key = f"{name}@{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%MZ}:summary"
            self._insert(database, [name], make_summary(key, counts, self._public_url))

    def _insert(
        self, database: sqlite3.Connection, names: Iterable[str], message: Notification
    ) -> None:
        """Store a message for all targets of some rules."""
        values = {"key": message.key, "kind": message.kind, "job_id": message.job_id}
        values |= {"title": message.title, "body": message.body}
        for name in names:
            targets = map(target_digest, self._rules[name].targets)
            database.executemany(
                INSERT,
                ({**values, "rule": name, "target": each, "now": time.time()} for each in targets),
            )


class RuleLimits:
    """Limits of rules in one transaction: what is above a limit is counted only."""

    def __init__(self, database: sqlite3.Connection, rules: dict[str, Rule]) -> None:
        self._database = database
        self._rules = rules
        self._now = time.time()
        self._left: dict[str, int] = {}
        self._held: Counter[tuple[str, str]] = Counter()

    @property
    def is_used(self) -> bool:
        """True if a rule wanted a message."""
        return bool(self._left)

    def select_allowed(self, names: Iterable[str], kind: str) -> list[str]:
        """Return the rules that may still send a message of a kind; count it for the others."""
        allowed = []
        for name in names:
            if name not in self._left:
                period = (name, self._now - HOUR_S, self._now)
                (recent,) = self._database.execute(COUNT_RECENT, period).fetchone()
                self._left[name] = self._rules[name].max_per_hour - int(recent)
            self._left[name] -= 1
            if self._left[name] >= 0:
                allowed.append(name)
            else:
                self._held[name, kind] += 1
        return allowed

    def store_held(self) -> None:
        """Store the counts."""
        self._database.executemany(
            HOLD,
            (
                {"rule": name, "kind": kind, "count": count, "now": self._now}
                for (name, kind), count in self._held.items()
            ),
        )
