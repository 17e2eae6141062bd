"""Nobody waits for a slow reader: the newest replaces, or the oldest go."""

import asyncio
from dataclasses import dataclass

import pytest

from marianne_stream.fanout.subscriber_queue import DropOldestQueue, LatestQueue
from marianne_stream.fanout.topic import Topic


@dataclass(frozen=True)
class Item:
    """Something that costs as many bytes as it says."""

    number: int
    size_bytes: int = 1


async def test_the_newest_item_replaces_what_was_not_taken() -> None:
    mailbox: LatestQueue[str] = LatestQueue()
    mailbox.offer("old")
    mailbox.offer("new")
    assert await mailbox.wait()
    assert mailbox.take() == "new"
    with pytest.raises(LookupError):
        mailbox.take()


async def test_a_reader_is_woken_by_an_offer() -> None:
    mailbox: LatestQueue[str] = LatestQueue()
    waiting = asyncio.create_task(mailbox.wait())
    await asyncio.sleep(0)
    mailbox.offer("a")
    assert await waiting


async def test_a_closed_mailbox_gives_what_is_left_and_then_the_end() -> None:
    mailbox: DropOldestQueue[Item] = DropOldestQueue()
    mailbox.offer(Item(1))
    waiting_after = mailbox.wait()
    mailbox.finish()
    assert await waiting_after
    assert mailbox.take().items == (Item(1),)
    assert not await mailbox.wait()


async def test_a_reader_that_waits_is_told_of_the_end() -> None:
    mailbox: LatestQueue[str] = LatestQueue()
    waiting = asyncio.create_task(mailbox.wait())
    await asyncio.sleep(0)
    mailbox.finish()
    assert not await waiting


async def test_a_wait_that_is_cancelled_loses_nothing() -> None:
    mailbox: LatestQueue[str] = LatestQueue()
    waiting = asyncio.create_task(mailbox.wait())
    await asyncio.sleep(0)
    mailbox.offer("a")
    waiting.cancel()
    await asyncio.wait([waiting])
    assert mailbox.take() == "a"


@pytest.mark.parametrize(
    ("bounds", "kept"), [({"max_items": 3}, [7, 8, 9]), ({"max_bytes": 25}, [8, 9])]
)
async def test_beyond_the_bound_the_oldest_go_and_the_first_of_them_is_told(
    bounds: dict[str, int], kept: list[int]
) -> None:
    mailbox: DropOldestQueue[Item] = DropOldestQueue(**bounds)
    for number in range(10):
        mailbox.offer(Item(number, 10))
    batch = mailbox.take()
    assert [item.number for item in batch.items] == kept
    assert batch.first_dropped == Item(0, 10)
    mailbox.offer(Item(10, 10))
    assert (mailbox.take().first_dropped, await asyncio.wait_for(offered(mailbox), 1)) == (
        None,
        True,
    )


async def offered(mailbox: DropOldestQueue[Item]) -> bool:
    mailbox.offer(Item(11))
    return await mailbox.wait()


def test_an_item_larger_than_the_bound_is_kept_until_the_next_one() -> None:
    mailbox: DropOldestQueue[Item] = DropOldestQueue(max_bytes=5)
    mailbox.offer(Item(1, 10))
    assert mailbox.take().items == (Item(1, 10),)
    mailbox.offer(Item(2, 10))
    mailbox.offer(Item(3, 1))
    batch = mailbox.take()
    assert (batch.first_dropped, batch.items) == (Item(2, 10), (Item(3, 1),))


async def test_one_who_waits_loses_nothing_of_what_comes_in_one_turn() -> None:
    mailbox: DropOldestQueue[Item] = DropOldestQueue(max_bytes=5)
    waiting = asyncio.create_task(mailbox.wait())
    await asyncio.sleep(0)
    mailbox.offer(Item(1, 10))
    mailbox.offer(Item(2, 10))
    assert await waiting
    batch = mailbox.take()
    assert (batch.first_dropped, [item.number for item in batch.items]) == (None, [1, 2])


def test_a_topic_offers_to_those_who_are_subscribed_at_that_moment() -> None:
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
