"""Delivery: takes the messages of the outbox to their targets, each at least once."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeVar

from marianne_stream.common.backoff import Backoff
from marianne_stream.common.daemon_thread import DaemonThread
from marianne_stream.common.repeated_logs import WarnOnce
from marianne_stream.errors import HistoryUnavailableError
from marianne_stream.notify.outbox import Outbox, OutboxMessage

logger = logging.getLogger(__name__)

T = TypeVar("T")

# A send that takes longer has failed, unless it succeeds in the end.
SEND_TIMEOUT_S = 30.0

# Delays after messages that a target has refused: each is twice the last one, until it accepts one.
FIRST_RETRY_S = 2.0
MAX_RETRY_S = 3600.0

# Time between two looks for messages that are too old, and for summaries.
TIDY_INTERVAL_S = 60.0

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


class TargetQueue:
    """The messages for one target, which a thread of its own sends one after another.

    A send that hangs is not followed by another one until it has ended: it delays no other target.

    Args:
        outbox: the messages.
        digest: digest of the target.
        target: the target.
        send_timeout_s: time after which a send has failed.
        first_retry_s: delay after the first message that the target has refused.

    Attributes:
        has_new: set when there may be a message.
        sent_count: number of messages that the target has accepted.
        failed_count: number of attempts that have failed.
    """

    def __init__(
        self,
        outbox: Outbox,
        digest: str,
        target: Target,
        *,
        send_timeout_s: float = SEND_TIMEOUT_S,
        first_retry_s: float = FIRST_RETRY_S,
    ) -> None:
        self.has_new = asyncio.Event()
        self.sent_count = self.failed_count = 0
        self._outbox = outbox
        self._digest = digest
        self._target = target
        self._send_timeout_s = send_timeout_s
        self._backoff = Backoff(first_s=first_retry_s, cap_s=MAX_RETRY_S)
        self._warning = WarnOnce(logger)

    async def run(self) -> None:
        """Send what waits until cancelled. A message that was refused goes behind the others."""
        thread = DaemonThread(f"notify {self._target.schema}")
        find_next = partial(self._outbox.find_next, self._digest)
        try:
            while True:
                self.has_new.clear()
                has_sent = False
                while (message := await wait_for_store(find_next)) is not None:
                    await self._send(thread, message)
                    has_sent = True
                if has_sent:
                    # What waits is counted anew.
                    self._outbox.has_new.set()
                await self.has_new.wait()
        finally:
            thread.close()

    async def _send(self, thread: DaemonThread, message: OutboxMessage) -> None:
        """Send a message, and mark it, or wait before the next one if it was refused."""
        call = asyncio.wrap_future(
            thread.submit(lambda: self._target.send(message.title, message.body))
        )
        done, _ = await asyncio.wait({call}, timeout=self._send_timeout_s)
        if not done:
            self._count_failure()
            await asyncio.wait({call})
        if call.result():
            await wait_for_store(partial(self._outbox.mark_sent, message.id))
            self.sent_count += 1
            self._backoff.reset()
            self._warning.recover("notifications accepted again target=%s", self._digest)
            return
        if done:
            self._count_failure()
        await wait_for_store(partial(self._outbox.mark_failed, message.id))
        await asyncio.sleep(self._backoff.next_delay_s())

    def _count_failure(self) -> None:
        self.failed_count += 1
        self._warning.warn(
            "notifications not accepted target=%s schema=%s", self._digest, self._target.schema
        )


class Deliverer:
    """Takes messages from the outbox to their targets.

    A message is marked as sent after its target has accepted it: a server that is killed in between
    sends it again.

    Args:
        outbox: the messages.
        targets: the targets by their digests. A message for another one is given up after a day.
        send_timeout_s: time after which a send has failed.
        first_retry_s: delay after the first message that a target has refused.

    Attributes:
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
        self.waiting_count = 0
        self._outbox = outbox
        self._queues = [
            TargetQueue(
                *(outbox, digest, target),
                send_timeout_s=send_timeout_s,
                first_retry_s=first_retry_s,
            )
            for digest, target in targets.items()
        ]

    @property
    def sent_count(self) -> int:
        """Number of messages that a target has accepted."""
        return sum(queue.sent_count for queue in self._queues)

    @property
    def failed_count(self) -> int:
        """Number of attempts that have failed."""
        return sum(queue.failed_count for queue in self._queues)

    async def run(self) -> None:
        """Deliver until cancelled. While the history is not recorded, nothing is sent."""
        async with asyncio.TaskGroup() as group:
            for queue in self._queues:
                group.create_task(queue.run())
            while True:
                self._outbox.has_new.clear()
                for queue in self._queues:
                    queue.has_new.set()
                await self._tidy()
                with suppress(TimeoutError):
                    async with asyncio.timeout(TIDY_INTERVAL_S):
                        await self._outbox.has_new.wait()

    async def _tidy(self) -> None:
        """Give up old messages, make summaries, and count what waits."""
        given_up = await wait_for_store(lambda: self._outbox.tidy(time.time()))
        for rule, target, count, key in given_up:
            logger.warning(
                "notifications given up rule=%s target=%s count=%d last_key=%s",
                *(rule, target, count, key),
            )
        self.waiting_count = await wait_for_store(self._outbox.count_waiting)


async def wait_for_store(call: Callable[[], Awaitable[T]]) -> T:
    """Return the result of a call of the outbox; repeat it while the store cannot be written.

    The store is locked by another server, busy, or closed, as the recorder has logged.
    """
    while True:
        try:
            return await call()
        except HistoryUnavailableError as error:
            logger.debug("notifications wait error=%s", error)
            await asyncio.sleep(STORE_RETRY_S)
