"""Typed reads of streams and hashes. Answers have the form of RESP2 (`redis_client`)."""

import logging
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, TypeVar

from redis.asyncio import Redis

from marianne_stream.relay.redis_client import call
from marianne_stream.relay.schema import EntryFields

logger = logging.getLogger(__name__)

StreamEntry = tuple[bytes, EntryFields]
Value = TypeVar("Value")

# Fields of a hash in one answer.
SCAN_PAGE_FIELDS = 200

# Id before the first entry of any stream.
FIRST_ID = b"0-0"


async def xread(
    redis: Redis, streams: Mapping[str, bytes], *, count: int, block_ms: int
) -> list[tuple[str, list[StreamEntry]]]:
    """Return the entries behind an id in each stream, as soon as there is one, or none in time."""
    wanted: dict[Any, Any] = dict(streams)
    answer = await call(redis.xread(wanted, count=count, block=block_ms))
    return [(key.decode(), entries) for key, entries in answer or ()]


async def xrange(
    redis: Redis, key: str, *, from_id: bytes | str = "-", to_id: bytes | str = "+", count: int
) -> list[StreamEntry]:
    """Return the entries from one id to another, oldest first."""
    found: list[StreamEntry] = await call(redis.xrange(key, min=from_id, max=to_id, count=count))
    return found


async def xrevrange(
    redis: Redis, key: str, *, count: int, to_id: bytes = b"+"
) -> list[StreamEntry]:
    """Return the newest entries up to an id, oldest first."""
    found: list[StreamEntry] = await call(redis.xrevrange(key, to_id, count=count))
    return found[::-1]


async def read_hash(redis: Redis, key: str, max_fields: int) -> dict[bytes, bytes]:
    """Return any fields of a hash up to a limit, read in pages. Cancelling is safe."""
    found: dict[bytes, bytes] = {}
    cursor = 0
    while len(found) < max_fields:
        cursor, page = await call(redis.hscan(key, cursor=cursor, count=SCAN_PAGE_FIELDS))
        found |= page
        if not cursor:
            break
    return dict(islice(found.items(), max_fields))


def decode_entries(
    entries: Iterable[StreamEntry], decode: Callable[[EntryFields], Value]
) -> list[tuple[bytes, Value]]:
    """Decode entries with their ids. Invalid entries are skipped, with one message for all."""
    found: list[tuple[bytes, Value]] = []
    faults: list[tuple[bytes, ValueError]] = []
    for entry_id, fields in entries:
        try:
            found.append((entry_id, decode(fields)))
        except ValueError as error:
            faults.append((entry_id, error))
    if faults:
        logger.debug("stream entries skipped count=%d first=%r: %s", len(faults), *faults[0])
    return found


def is_id_after(one: bytes, other: bytes) -> bool:
    """Return whether an id of a stream is above another."""
    return parse_id(one) > parse_id(other)


def parse_id(entry_id: bytes) -> tuple[int, int]:
    """Return the two numbers of an id of a stream."""
    first, _, second = entry_id.partition(b"-")
    return int(first), int(second or 0)
