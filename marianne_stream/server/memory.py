"""Memory that this process has freed, given back to the system.

What viewers and logs leave behind lies in holes of the C library's heap, between pieces that are
still in use, and the library gives back by itself only what lies at the heap's end. Some of it is
not even freed: requests leave circles of objects behind, which the garbage collector finds. It must
not know what the memory held.
"""

import asyncio
import ctypes
import gc
from collections.abc import Callable

TRIM_INTERVAL_S = 30.0

# How many new objects the garbage collector waits for, by generation (gc.set_threshold). By its own
# 700, 10, 10, ten thousand streams that come at once are looked through again and again: a third
# of what they cost.
GC_THRESHOLDS = (10_000, 10, 20)

# With so many streams, looking through all objects stops the loop for 6 ms; with more, what is old
# waits until the collector itself thinks that it is time.
FULL_COLLECTION_MAX_STREAMS = 1_000

OLD_GENERATION, YOUNG_GENERATION = 2, 1

# malloc_trim(3): the GNU C library has it, others do without.
MALLOC_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)


def tune_gc() -> None:
    """Has the collector look less often, and never again at what is there now: that stays."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def collect_garbage(open_streams: int) -> None:
    """Frees the circles that were left behind, all of them where few streams are open."""
    gc.collect(OLD_GENERATION if open_streams < FULL_COLLECTION_MAX_STREAMS else YOUNG_GENERATION)


def trim_heap() -> None:
    """Gives the pages of freed memory back: 6 ms where 200 MiB lie in 40,000 holes."""
    if MALLOC_TRIM is not None:
        MALLOC_TRIM(0)


async def trim_heap_periodically(
    count_streams: Callable[[], int], interval_s: float = TRIM_INTERVAL_S
) -> None:
    """Frees and gives memory back every so often, until it is cancelled.

    Args:
        count_streams: says how many streams are open.
        interval_s: how often, in seconds.
    """
    while True:
        await asyncio.sleep(interval_s)
        collect_garbage(count_streams())
        # In a thread: it needs no object of Python's.
        await asyncio.to_thread(trim_heap)
