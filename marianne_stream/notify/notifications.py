"""Notifications of a server: the outbox, its delivery, the watch of the conductor, the metrics."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from marianne_stream.common.optional_imports import load_with_extra
from marianne_stream.history.store import HistoryStore
from marianne_stream.jobs.hub import JobHub
from marianne_stream.notify.delivery import Deliverer, Target, wait_for_store
from marianne_stream.notify.message import make_away_notification
from marianne_stream.notify.outbox import Outbox
from marianne_stream.notify.rules import Rule, rules_by_name
from marianne_stream.wire.metric_families import make_counter, make_gauge

# Time between two looks at whether the conductor answers.
WATCH_INTERVAL_S = 1.0

TargetOpener = Callable[[Mapping[str, Rule]], dict[str, Target]]


def open_targets(rules: Mapping[str, Rule]) -> dict[str, Target]:
    """Return the targets of named rules by their digests. Imports Apprise, which takes 0.5 s.

    Raises:
        SettingsError: Apprise is not installed, or does not know a target.
    """
    module = "marianne_stream.notify.apprise_targets"
    load: TargetOpener = load_with_extra(module, "open_targets", extra="notify", library="apprise")
    return load(rules)


class Notifications:
    """Joins the parts of the notifications.

    Args:
        rules: the rules, at least one.
        store: the history, whose transitions the rules are about.
        hub: source of whether the conductor answers.
        public_url: address of this server for users; None if it is unknown.

    Attributes:
        deliverer: what delivers the messages.

    Raises:
        SettingsError: Apprise is not installed, or does not know a target.
    """

    def __init__(
        self, rules: Sequence[Rule], store: HistoryStore, hub: JobHub, *, public_url: str | None
    ) -> None:
        outbox = Outbox(store, rules, public_url=public_url)
        self.deliverer = Deliverer(outbox, open_targets(rules_by_name(rules)))
        limits_s = {rule.away_after_s for rule in rules if "conductor_away" in rule.on}
        self._watch = ConductorWatch(outbox, store, hub, limits_s, public_url=public_url)

    async def run(self) -> None:
        """Deliver messages, and watch the conductor, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.deliverer.run(), name="delivery")
            group.create_task(self._watch.run(), name="conductor watch")


class ConductorWatch:
    """Stores one message for each time that the conductor does not answer for long.

    The time counts from its last answer to this process, or else from when this process began to
    record. So a restart of the server begins anew.

    Args:
        outbox: gets the messages.
        store: the history. While it is not written, the conductor may not be asked.
        hub: source of whether the conductor answers.
        limits_s: times after which a rule wants to be told, in seconds.
        public_url: address of this server for users; None if it is unknown.
    """

    def __init__(
        self,
        outbox: Outbox,
        store: HistoryStore,
        hub: JobHub,
        limits_s: set[float],
        *,
        public_url: str | None,
    ) -> None:
        self._outbox = outbox
        self._store = store
        self._hub = hub
        self._limits_s = sorted(limits_s)
        self._public_url = public_url

    async def run(self) -> None:
        """Watch until cancelled."""
        # Time that a suspended machine sleeps does not count.
        answered_at, since, limits_s = time.monotonic(), time.time(), self._limits_s
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            away_s = time.monotonic() - answered_at
            if not self._store.is_writable or self._hub.roster.source == "conductor":
                answered_at, since, limits_s = time.monotonic(), time.time(), self._limits_s
            elif limits_s and away_s >= limits_s[0]:
                await self._tell(since, away_s)
                limits_s = [limit_s for limit_s in limits_s if limit_s > away_s]

    async def _tell(self, since: float, away_s: float) -> None:
        message = make_away_notification(since, self._public_url)
        await wait_for_store(lambda: self._outbox.put(message, away_s=away_s))


class NotificationCollector(Collector):
    """Metrics of the notifications; zeros without rules."""

    def __init__(self, notifications: Notifications | None) -> None:
        self._deliverer = notifications.deliverer if notifications is not None else None

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, as they are now."""
        found = self._deliverer
        counts = (0, 0, 0)
        if found is not None:
            counts = (found.sent_count, found.failed_count, found.waiting_count)
        yield make_counter("notifications_sent", "Messages that targets have accepted.", counts[0])
        yield make_counter("notifications_failed", "Attempts that have failed.", counts[1])
        yield make_gauge("notifications_waiting", "Messages that wait for a target.", counts[2])
