"""Tests of the queue of log batches."""

from typing import Any, cast

from marianne_stream.feeds.log_batches import MAX_QUEUED_BYTES, LogBatch, LogBatchQueue
from marianne_stream.logs.log_reader import ReadResult


def make_sized_batch(size: int) -> LogBatch:
    """Make a batch of a size."""
    frames = b"x" * size
    return LogBatch(result=ReadResult([], 0, 0, cast("Any", None)), frames=frames)


def test_dropped_batch_is_not_counted() -> None:
    queue = LogBatchQueue(None, None)
    for _ in range(3):
        queue.offer(make_sized_batch(MAX_QUEUED_BYTES // 2))
    assert queue.has_overflowed
    assert queue.buffered_bytes == 2 * (MAX_QUEUED_BYTES // 2)
    while queue.take() is not None:
        pass
    assert queue.buffered_bytes == 0
