"""Delivery: takes the messages of the outbox to their targets, each at least once."""

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeVar

from marianne_stream.common.backoff import Backoff
from marianne_stream.common.daemon_thread import DaemonThread
from marianne_stream.common.repeated_logs import WarnOnce
from marianne_stream.common.task_set import KeyedTasks
from marianne_stream.errors import HistoryUnavailableError
from marianne_stream.notify.outbox import Outbox, OutboxMessage

logger = logging.getLogger(__name__)

T = TypeVar("T")

# A send that takes longer has failed.
SEND_TIMEOUT_S = 30.0

# Delays after which a message is tried again: each is twice the last one.
FIRST_RETRY_S = 2.0
MAX_RETRY_S = 3600.0

# Longest pause of a target that has refused a message, before it gets another one.
MAX_PAUSE_S = 60.0

# A message that is older is not tried again.
MAX_AGE_S = 24 * 3600.0

# Messages that a target gets before the outbox is asked again.
MAX_BATCH = 20

# Time between two looks while messages wait for a target that is busy.
BUSY_INTERVAL_S = 1.0

# Time after which a store that cannot be used is tried again.
STORE_RETRY_S = 1.0


class Target(Protocol):
    """A service that messages are sent to.

    Attributes:
        schema: kind of the service, such as `mailto`.
    """

    schema: str

    def send(self, title: str, body: str) -> bool:
        """Send a message, and return whether the service has accepted it. May block, or hang."""
        ...


class TargetThread:
    """The thread that sends to one target, one message at a time.

    A send that hangs is not followed by another one until it has ended.

    Attributes:
        pauses: delays after messages that the target has refused.
        warning: log of its refusals.
    """

    def __init__(
        self,
        target: Target,
        timeout_s: float = SEND_TIMEOUT_S,
        first_retry_s: float = FIRST_RETRY_S,
    ) -> None:
        self.pauses = Backoff(first_s=first_retry_s, cap_s=MAX_PAUSE_S)
        self.warning = WarnOnce(logger)
        self._target = target
        self._timeout_s = timeout_s
        self._thread = DaemonThread(f"notify {target.schema}")
        self._call: asyncio.Future[bool] | None = None
        self._call_id = 0

    async def send(self, message_id: int, title: str, body: str) -> bool:
        """Send a message, and return whether it was accepted within the timeout.

        A message that was accepted later is not sent again: True is returned for it.
        """
        if self._call is not None and self._call_id != message_id:
            await asyncio.wait({self._call}, timeout=self._timeout_s)
            if not self._call.done():
                return False
            self._call = None
        if self._call is None:
            call = self._thread.submit(lambda: self._target.send(title, body))
            self._call_id, self._call = message_id, asyncio.wrap_future(call)
        await asyncio.wait({self._call}, timeout=self._timeout_s)
        if not self._call.done():
            return False
        ended, self._call = self._call, None
        return ended.result()

    def close(self) -> None:
        """Let the thread end after the send that it is in."""
        self._thread.close()


class Deliverer:
    """Takes messages from the outbox to their targets.

    Each target has a task and a thread, so that a target that hangs delays no other one. A message
    is marked as sent after the target has accepted it: a server that is killed in between sends it
    again.

    Args:
        outbox: the messages.
        targets: the targets by their digests. A message for another one is kept for a day.
        send_timeout_s: time after which a send has failed.
        first_retry_s: delay after which a message is tried again for the first time.

    Attributes:
        sent_count: number of messages that a target has accepted.
        failed_count: number of attempts that have failed.
        waiting_count: number of messages that waited at the last look, counted for each target.
    """

    def __init__(
        self,
        outbox: Outbox,
        targets: Mapping[str, Target],
        *,
        send_timeout_s: float = SEND_TIMEOUT_S,
        first_retry_s: float = FIRST_RETRY_S,
    ) -> None:
        self.sent_count = 0
        self.failed_count = 0
        self.waiting_count = 0
        self._outbox = outbox
        self._targets = targets
        self._send_timeout_s = send_timeout_s
        self._first_retry_s = first_retry_s
        self._threads: dict[str, TargetThread] = {}
        self._deliveries = KeyedTasks[str]()

    async def run(self) -> None:
        """Deliver until cancelled. While the history is not recorded, nothing is sent."""
        self._threads = {
            digest: TargetThread(target, self._send_timeout_s, self._first_retry_s)
            for digest, target in self._targets.items()
        }
        try:
            while True:
                self._outbox.has_new.clear()
                await self._start_deliveries()
                await self._wait_until_due()
        finally:
            await self._deliveries.close()
            for thread in self._threads.values():
                thread.close()

    async def _start_deliveries(self) -> None:
        """Start a task for each target that is idle and has messages that are due."""
        due = await wait_for_store(lambda: self._outbox.take_due(time.time(), MAX_BATCH))
        self.waiting_count = await wait_for_store(self._outbox.count_waiting)
        due.sort(key=lambda message: message.target)
        for digest, messages in itertools.groupby(due, lambda message: message.target):
            if digest not in self._deliveries:
                body = self._deliver(digest, list(messages))
                task = self._deliveries.start(digest, body, name=f"notifications to {digest}")
                task.add_done_callback(lambda _: self._outbox.has_new.set())

    async def _wait_until_due(self) -> None:
        due_at = await wait_for_store(self._outbox.next_due_at)
        delay_s = None if due_at is None else max(BUSY_INTERVAL_S, due_at - time.time())
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._outbox.has_new.wait()

    async def _deliver(self, digest: str, messages: Iterable[OutboxMessage]) -> None:
        """Send messages to one target, with a pause after each that it refuses."""
        thread = self._threads.get(digest)
        for message in messages:
            if thread is None:
                await self._put_off(message)
            elif await thread.send(message.id, message.title, message.body):
                await wait_for_store(partial(self._outbox.mark_sent, message.id))
                self.sent_count += 1
                thread.pauses.reset()
                thread.warning.recover("notifications accepted again target=%s", digest)
            else:
                self.failed_count += 1
                schema = self._targets[digest].schema
                thread.warning.warn(
                    "notifications not accepted target=%s schema=%s", digest, schema
                )
                await self._put_off(message)
                await asyncio.sleep(thread.pauses.next_delay_s())

    async def _put_off(self, message: OutboxMessage) -> None:
        """Let a message wait for its next attempt, or give it up if it is too old."""
        now = time.time()
        if now - message.created_at >= MAX_AGE_S:
            logger.warning(
                "notification given up rule=%s target=%s key=%s",
                *(message.rule, message.target, message.key),
            )
            await wait_for_store(partial(self._outbox.give_up, message.id))
            return
        due_at = now + choose_retry_delay_s(message.attempts, self._first_retry_s)
        await wait_for_store(partial(self._outbox.retry, message.id, due_at))


def choose_retry_delay_s(attempts: int, first_retry_s: float = FIRST_RETRY_S) -> float:
    """Return the delay before a message is tried again, which the store keeps, in seconds.

    Args:
        attempts: number of attempts that have failed before the last one.
        first_retry_s: mean delay after the first attempt.
    """
    # Twice two seconds to the power of 11 is more than an hour.
    first_s = first_retry_s * 2 ** min(attempts, 11)
    return Backoff(first_s=first_s, cap_s=MAX_RETRY_S).next_delay_s()


async def wait_for_store(call: Callable[[], Awaitable[T]]) -> T:
    """Return the result of a call of the outbox; repeat it while the store cannot be written.

    The store is locked by another server, busy, or closed, as the recorder has logged.
    """
    while True:
        try:
            return await call()
        except HistoryUnavailableError:
            await asyncio.sleep(STORE_RETRY_S)
