"""Garbage collection, and return of freed memory to the operating system.

Memory of closed streams and read logs leaves holes in the C library's heap; malloc only returns the
end of the heap by itself. Requests also leave reference cycles behind, which the garbage collector
must find first.
"""

import asyncio
import ctypes
import gc
from collections.abc import Callable

TRIM_INTERVAL_S = 30.0

# Collection thresholds (gc.set_threshold). With Python's 700, 10, 10, a third of the cost of
# opening 10,000 streams at once is garbage collection.
GC_THRESHOLDS = (10_000, 10, 20)

# A full collection stops the loop for 6 ms with this many streams; with more, the old generation is
# left to the automatic collection.
FULL_COLLECTION_MAX_STREAMS = 1_000

OLD_GENERATION, YOUNG_GENERATION = 2, 1

# malloc_trim(3), in the GNU C library only.
MALLOC_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)


def tune_gc() -> None:
    """Collect less often, and exempt all present objects from collection."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def collect_garbage(open_streams: int) -> None:
    """Collect reference cycles; all generations if few streams are open."""
    gc.collect(OLD_GENERATION if open_streams < FULL_COLLECTION_MAX_STREAMS else YOUNG_GENERATION)


def trim_heap() -> None:
    """Return free pages to the operating system: 6 ms for 200 MiB in 40,000 holes."""
    if MALLOC_TRIM is not None:
        MALLOC_TRIM(0)


async def trim_heap_periodically(
    count_streams: Callable[[], int], interval_s: float = TRIM_INTERVAL_S
) -> None:
    """Collect garbage and trim the heap every `interval_s` seconds, until cancelled."""
    while True:
        await asyncio.sleep(interval_s)
        collect_garbage(count_streams())
        # In a thread: it releases the GIL.
        await asyncio.to_thread(trim_heap)
