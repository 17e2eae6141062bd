"""Subscriber queues: a slow consumer loses items, and the publisher never waits."""

import asyncio
from dataclasses import dataclass

import pytest

from marianne_stream.fanout.subscriber_queue import DropOldestQueue, LatestQueue
from marianne_stream.fanout.topic import Topic


@dataclass(frozen=True)
class Item:
    """Item of a given size."""

    number: int
    size_bytes: int = 1


async def test_latest_queue_new_item_replaces_old() -> None:
    queue: LatestQueue[str] = LatestQueue()
    queue.offer("old")
    queue.offer("new")
    assert await queue.wait()
    assert queue.take() == "new"
    with pytest.raises(LookupError):
        queue.take()


async def test_offer_wakes_reader() -> None:
    queue: LatestQueue[str] = LatestQueue()
    waiting = asyncio.create_task(queue.wait())
    await asyncio.sleep(0)
    queue.offer("a")
    assert await waiting


async def test_finished_queue_returns_rest_then_end() -> None:
    queue: DropOldestQueue[Item] = DropOldestQueue()
    queue.offer(Item(1))
    waiting_after = queue.wait()
    queue.finish()
    assert await waiting_after
    assert queue.take().items == (Item(1),)
    assert not await queue.wait()


async def test_finish_wakes_waiting_reader() -> None:
    queue: LatestQueue[str] = LatestQueue()
    waiting = asyncio.create_task(queue.wait())
    await asyncio.sleep(0)
    queue.finish()
    assert not await waiting


async def test_cancelled_wait_loses_nothing() -> None:
    queue: LatestQueue[str] = LatestQueue()
    waiting = asyncio.create_task(queue.wait())
    await asyncio.sleep(0)
    queue.offer("a")
    waiting.cancel()
    await asyncio.wait([waiting])
    assert queue.take() == "a"


@pytest.mark.parametrize(
    ("bounds", "kept"), [({"max_items": 3}, [7, 8, 9]), ({"max_bytes": 25}, [8, 9])]
)
async def test_full_queue_drops_oldest_and_reports_first(
    bounds: dict[str, int], kept: list[int]
) -> None:
    queue: DropOldestQueue[Item] = DropOldestQueue(**bounds)
    for number in range(10):
        queue.offer(Item(number, 10))
    batch = queue.take()
    assert [item.number for item in batch.items] == kept
    assert batch.first_dropped == Item(0, 10)
    queue.offer(Item(10, 10))
    assert (queue.take().first_dropped, await asyncio.wait_for(offered(queue), 1)) == (
        None,
        True,
    )


async def offered(queue: DropOldestQueue[Item]) -> bool:
    queue.offer(Item(11))
    return await queue.wait()


def test_item_above_limit_kept_until_next() -> None:
    queue: DropOldestQueue[Item] = DropOldestQueue(max_bytes=5)
    queue.offer(Item(1, 10))
    assert queue.take().items == (Item(1, 10),)
    queue.offer(Item(2, 10))
    queue.offer(Item(3, 1))
    batch = queue.take()
    assert (batch.first_dropped, batch.items) == (Item(2, 10), (Item(3, 1),))


async def test_waiting_reader_gets_whole_burst() -> None:
    queue: DropOldestQueue[Item] = DropOldestQueue(max_bytes=5)
    waiting = asyncio.create_task(queue.wait())
    await asyncio.sleep(0)
    queue.offer(Item(1, 10))
    queue.offer(Item(2, 10))
    assert await waiting
    batch = queue.take()
    assert (batch.first_dropped, [item.number for item in batch.items]) == (None, [1, 2])


def test_topic_offers_to_current_subscribers() -> None:
    topic: Topic[str] = Topic()
    first: LatestQueue[str] = LatestQueue()
    second: LatestQueue[str] = LatestQueue()
    topic.subscribe(first)
    topic.subscribe(second)
    topic.publish("both")
    assert len(topic) == 2
    topic.unsubscribe(second)
    topic.publish("one")
    topic.unsubscribe(first)
    assert (first.take(), second.take(), len(topic)) == ("one", "both", 0)
