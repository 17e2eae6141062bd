"""Delivery of messages from the outbox: repeats, targets that hang, and the end of a message."""

import asyncio
import logging
import re
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from marianne_stream.errors import HistoryUnavailableError
from marianne_stream.history.store import HistoryStore
from marianne_stream.notify import delivery
from marianne_stream.notify.apprise_targets import open_targets
from marianne_stream.notify.delivery import Deliverer, Target
from marianne_stream.notify.message import Notification
from marianne_stream.notify.outbox import Outbox
from marianne_stream.notify.rules import Rule, target_digest
from tests.support.notify_targets import (
    ACCEPT,
    FAIL,
    HANG,
    LIMIT,
    PASSWORD,
    HttpTarget,
    LocalTarget,
    MailTarget,
)
from tests.support.outboxes import read_rows
from tests.support.waiting import wait_until

DAY_S = 24 * 3600.0


class BlockingTarget:
    """A target whose calls block until it is released."""

    schema = "test"

    def __init__(self) -> None:
        self.released = threading.Event()
        self.bodies: list[str] = []

    def send(self, title: str, body: str) -> bool:
        """Take a message after the release."""
        self.bodies.append(body)
        return self.released.wait(60)


def make_message(key: str) -> Notification:
    """Return a message with this key."""
    return Notification(key, "failed", "a", f"title of {key}", f"text\n{key}")


class Delivery:
    """An outbox with two rules, `1` and `2`, of one target each.

    Attributes:
        outbox: the outbox.
        path: its file.
        deliverer: what delivers its messages.
        running: the task of the delivery.
    """

    def __init__(self, path: Path, urls: tuple[str, ...], targets: Mapping[str, Target]) -> None:
        self.path = path
        self.store = HistoryStore(path, max_age_s=1e6, max_bytes=10**9)
        rules = [Rule(on=("failed",), targets=(url,), away_after_s=10.0) for url in urls]
        self.outbox = Outbox(self.store, rules, public_url=None)
        self.deliverer = Deliverer(self.outbox, targets, send_timeout_s=0.2, first_retry_s=0.01)

    async def put(self, *keys: str, age_s: float = 0.0) -> None:
        """Store messages."""
        for key in keys:
            await self.outbox.put(make_message(key), away_s=10.0)
            if age_s:
                values = (time.time() - age_s, key)
                await self.store.execute(
                    lambda database, values=values: database.execute(  # type: ignore[misc]
                        "UPDATE notifications SET created_at = ? WHERE key = ?", values
                    )
                )

    def states(self) -> list[tuple[object, ...]]:
        """Return key, rule and state of each row."""
        return read_rows(self.path, "key, rule, state")


@asynccontextmanager
async def run_delivery(
    folder: Path, urls: tuple[str, ...], targets: Mapping[str, Target] | None = None
) -> AsyncIterator[Delivery]:
    """Run the delivery of an outbox to the targets of Apprise, or to others by digest."""
    rules = {"1": Rule(on=("failed",), targets=urls)}
    found = Delivery(
        folder / "history.db", urls, open_targets(rules) if targets is None else targets
    )
    await found.store.open()
    running = asyncio.create_task(found.deliverer.run())
    try:
        yield found
    finally:
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        await found.store.close()


def has_attempts(target: LocalTarget, count: int) -> bool:
    """Return whether a target has been tried this many times."""
    return target.attempts >= count


@pytest.mark.parametrize("make_target", [HttpTarget, MailTarget])
async def test_message_that_is_refused_is_sent_again_until_it_is_accepted(
    tmp_path: Path, make_target: type[HttpTarget | MailTarget]
) -> None:
    target = make_target()
    async with run_delivery(tmp_path, (target.url,)) as running:
        await running.put("k1")
        # Nothing listens.
        await wait_until(lambda: running.deliverer.failed_count >= 1)
        for attempts, behaviour in enumerate((LIMIT, FAIL, HANG)):
            target.behaviour = behaviour
            async with target.run():
                await wait_until(partial(has_attempts, target, attempts + 1))
        assert target.bodies == []
        target.behaviour = ACCEPT
        async with target.run():
            await wait_until(lambda: running.states() == [("k1", "1", "sent")])
            await running.put("k2")
            await wait_until(lambda: running.deliverer.sent_count == 2)
            await wait_until(lambda: running.deliverer.waiting_count == 0)
    assert target.titles == ["title of k1", "title of k2"]
    assert target.bodies == ["text\nk1", "text\nk2"]


async def test_target_that_hangs_delays_no_other_and_has_one_thread(tmp_path: Path) -> None:
    hanging, other = BlockingTarget(), BlockingTarget()
    other.released.set()
    targets = {target_digest("a"): hanging, target_digest("b"): other}
    before = threading.active_count()
    async with run_delivery(tmp_path, ("a", "b"), targets) as running:
        await running.put(*(f"k{number}" for number in range(5)))
        await wait_until(lambda: len(other.bodies) == 5)
        await wait_until(lambda: running.deliverer.failed_count >= 1)
        # The threads of the store and of the targets.
        assert threading.active_count() <= before + 4
        assert hanging.bodies == ["text\nk0"]
        hanging.released.set()
        await wait_until(lambda: running.deliverer.sent_count == 10)
    assert hanging.bodies == [f"text\nk{number}" for number in range(5)]


async def test_messages_that_are_accepted_late_are_sent_once(tmp_path: Path) -> None:
    target = BlockingTarget()
    async with run_delivery(tmp_path, ("a",), {target_digest("a"): target}) as running:
        await running.put("k1", "k2", "k3")
        await wait_until(lambda: running.deliverer.failed_count >= 1)
        target.released.set()
        await wait_until(lambda: running.deliverer.sent_count == 3)
    assert [state for _, _, state in running.states()] == ["sent"] * 3
    assert target.bodies == ["text\nk1", "text\nk2", "text\nk3"]


async def test_message_that_is_refused_lets_the_others_pass(tmp_path: Path) -> None:
    class PickyTarget:
        schema = "test"

        def send(self, title: str, body: str) -> bool:
            return "bad" not in title

    async with run_delivery(tmp_path, ("a",), {target_digest("a"): PickyTarget()}) as running:
        await running.put("bad", "k1", "k2")
        await wait_until(lambda: running.deliverer.sent_count == 2)
        await wait_until(lambda: running.deliverer.failed_count >= 3)
    assert [state for _, _, state in running.states()] == ["waiting", "sent", "sent"]


async def test_delivery_that_is_cancelled_does_not_wait_for_a_target_that_hangs(
    tmp_path: Path,
) -> None:
    target = BlockingTarget()
    async with run_delivery(tmp_path, ("a",), {target_digest("a"): target}) as running:
        await running.put("k1")
        await wait_until(lambda: target.bodies)
    assert running.states() == [("k1", "1", "waiting")]
    target.released.set()


async def test_messages_are_given_up_after_a_day_with_one_log_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_delivery(tmp_path, ("a",), {}) as running:
        await running.put("old", "older", age_s=DAY_S + 1)
        await running.put("new")
        await wait_until(lambda: count_given_up(caplog) == 2)
    # A target that is no longer in the settings has no queue.
    states = dict.fromkeys(("old", "older"), "given_up") | {"new": "waiting"}
    assert {key: state for key, _, state in running.states()} == states
    assert f"rule=1 target={target_digest('a')}" in caplog.text


def count_given_up(caplog: pytest.LogCaptureFixture) -> int:
    """Return the number of messages that the log says were given up."""
    return sum(map(int, re.findall(r"given up .* count=(\d+)", caplog.text)))


async def test_store_that_is_closed_delays_delivery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "STORE_RETRY_S", 0.01)
    target = BlockingTarget()
    target.released.set()
    async with run_delivery(tmp_path, ("a",), {target_digest("a"): target}) as running:
        await running.put("k1")
        await wait_until(lambda: running.deliverer.sent_count == 1)
        execute, refused = running.store.execute, 0

        async def count_refused(function: Callable[[sqlite3.Connection], Any]) -> Any:
            nonlocal refused
            try:
                return await execute(function)
            except HistoryUnavailableError:
                refused += 1
                raise

        monkeypatch.setattr(running.store, "execute", count_refused)
        await running.store.stop_writing()
        running.outbox.has_new.set()
        await wait_until(lambda: refused >= 2)
        await running.store.open()
        await running.put("k2")
        await wait_until(lambda: running.deliverer.sent_count == 2)


async def test_secrets_of_a_target_are_in_no_log_and_not_in_the_store(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    http, mail = HttpTarget(), MailTarget()
    async with run_delivery(tmp_path, (http.url, mail.url)) as running:
        await running.put("k1")
        await wait_until(lambda: running.deliverer.failed_count >= 2)
        async with http.run(), mail.run():
            await wait_until(lambda: running.deliverer.sent_count == 2)
    # aiosmtpd is the test's own.
    lines = [record.getMessage() for record in caplog.records if record.name[:4] != "mail"]
    assert any("notifications not accepted" in line for line in lines)
    assert any("notifications accepted again" in line for line in lines)
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not re.search(f"{PASSWORD}|text", "\n".join(lines))
    assert PASSWORD.encode() not in stored
