"""What an edge asks of Redis, with the types that come back; redis-py's say little.

Answers have the form of RESP2 (`connecting`).
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, TypeVar

from redis.asyncio import Redis

from marianne_stream.relay.connecting import asked
from marianne_stream.relay.format import Fields

logger = logging.getLogger(__name__)

Entry = tuple[bytes, Fields]
Value = TypeVar("Value")

# How many fields of a hash, or members of a set, Redis gives at once.
PAGE_FIELDS = 200

# Before the first entry of any stream.
BEGINNING = b"0-0"


async def read(
    redis: Redis, streams: Mapping[str, bytes], *, count: int, block_ms: int
) -> list[tuple[str, list[Entry]]]:
    """What has come behind an id in each stream, as soon as there is anything; none in time.

    Args:
        redis: a client.
        streams: the streams, and the ids.
        count: how many entries of each at the most.
        block_ms: how long is waited, in milliseconds.
    """
    wanted: dict[Any, Any] = dict(streams)
    answer = await asked(redis.xread(wanted, count=count, block=block_ms))
    return [(key.decode(), entries) for key, entries in answer or ()]


async def span(
    redis: Redis, key: str, *, least: bytes | str = "-", most: bytes | str = "+", count: int
) -> list[Entry]:
    """The entries from one id to another, the oldest first."""
    found: list[Entry] = await asked(redis.xrange(key, min=least, max=most, count=count))
    return found


async def newest(redis: Redis, key: str, *, count: int, most: bytes = b"+") -> list[Entry]:
    """The newest entries up to an id, the oldest of them first."""
    found: list[Entry] = await asked(redis.xrevrange(key, most, count=count))
    return found[::-1]


async def hash_fields(redis: Redis, key: str, limit: int) -> dict[bytes, bytes]:
    """Return fields of a hash, read in pages; no more than the limit, whichever Redis names first.

    Cancelling is safe.
    """
    found: dict[bytes, bytes] = {}
    cursor = 0
    while len(found) < limit:
        cursor, page = await asked(redis.hscan(key, cursor=cursor, count=PAGE_FIELDS))
        found |= page
        if not cursor:
            break
    return dict(islice(found.items(), limit))


def readable(
    entries: Iterable[Entry], decode: Callable[[Fields], Value]
) -> list[tuple[bytes, Value]]:
    """Decode entries, with their ids; one that cannot be read is left out, and logged for all."""
    found: list[tuple[bytes, Value]] = []
    faults: list[tuple[bytes, ValueError]] = []
    for entry_id, fields in entries:
        try:
            found.append((entry_id, decode(fields)))
        except ValueError as error:
            faults.append((entry_id, error))
    if faults:
        logger.debug("skipped %d stream entries first=%r: %s", len(faults), *faults[0])
    return found


def is_after(one: bytes, other: bytes) -> bool:
    """Whether an id of a stream is behind another."""
    return place_of(one) > place_of(other)


def place_of(entry_id: bytes) -> tuple[int, int]:
    """An id of a stream as the two numbers that it is."""
    first, _, second = entry_id.partition(b"-")
    return int(first), int(second or 0)
