"""Log of a job on an edge, read once for all clients."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack

from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.log_threads import JobThreads
from marianne_stream.relay.edge.log_stream import (
    LogPosition,
    LogStream,
    LogStreamEntry,
    decode_log_items,
)
from marianne_stream.relay.edge.relayed_queue import RelayedBatch, RelayedBatchQueue
from marianne_stream.relay.edge.relayed_source import RelayedSource
from marianne_stream.relay.redis_streams import StreamEntry, is_id_after


class RelayedLog:
    """Log of a job, while clients watch it.

    Attributes:
        position: end of what was read and offered to all queues.
    """

    def __init__(self, source: RelayedSource, job_id: str, threads: JobThreads) -> None:
        self.source = source
        self.threads = threads
        self.job_id = job_id
        self.stream = LogStream(source.reader, job_id)
        self.position = LogPosition()
        self.subscriber_count = self.read_bytes = 0
        self._queues: set[RelayedBatchQueue] = set()
        self._exit_stack = ExitStack()
        self._start_lock = asyncio.Lock()
        self._is_started = False

    async def start(self) -> None:
        """Follow the stream from its present end, unless it is followed already.

        Raises StateUnavailableError if Redis does not answer.
        """
        async with self._start_lock:
            if self._is_started:
                return
            reader = self.source.reader
            self._exit_stack.enter_context(reader.interest_sender.hold("log", self.job_id))
            self.position = await self.stream.find_end()
            reader.subscribe(self.stream.key, self.position.entry_id, self.on_entries)
            self._is_started = True

    def close(self) -> None:
        """Stop following the stream."""
        self.source.reader.unsubscribe(self.stream.key)
        self._exit_stack.close()

    def subscribe(
        self, line_filter: LineFilter | None, sink: Sink | None, position: LogPosition
    ) -> RelayedBatchQueue:
        """Return a queue of what follows this moment, for a client that has all before it."""
        queue = RelayedBatchQueue(line_filter, sink, position)
        self._queues.add(queue)
        return queue

    def unsubscribe(self, queue: RelayedBatchQueue) -> None:
        """Stop offering batches to a queue."""
        self._queues.discard(queue)

    async def on_entries(self, entries: Sequence[StreamEntry]) -> None:
        """Offer new entries to all queues, after those that lie before them."""
        items = decode_log_items(entries)
        while not self.position.is_followed_by(items):
            before = self.position
            page, end = await self.stream.read_after(before, b"(" + items[0][0])
            self._offer(page, end)
            if end == before:
                break
            items = [item for item in items if is_id_after(item[0], end.entry_id)]
        self._offer(*self.position.follow(items, entries[-1][0]))

    def _offer(self, items: Sequence[LogStreamEntry], end: LogPosition) -> None:
        self.position = end
        if not items:
            return
        self.read_bytes += sum(len(entry.line) for _, entry in items)
        batch = RelayedBatch.from_items(items, end)
        for queue in list(self._queues):
            queue.offer(batch)
