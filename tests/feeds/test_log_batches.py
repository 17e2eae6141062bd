"""What is kept of a log for one that does not read."""

from typing import Any, cast

from marianne_stream.feeds.log_batches import MAX_QUEUED_BYTES, LogBatch, LogBatchQueue
from marianne_stream.logs.log_reader import ReadResult


def batch(size: int) -> LogBatch:
    """A batch of so many bytes, from nowhere."""
    frames = b"x" * size
    return LogBatch(result=ReadResult([], 0, 0, cast("Any", None)), frames=frames)


def test_a_batch_that_is_not_kept_is_not_counted() -> None:
    mailbox = LogBatchQueue(None, None)
    for _ in range(3):
        mailbox.offer(batch(MAX_QUEUED_BYTES // 2))
    assert mailbox.has_overflowed
    assert mailbox.buffered_bytes == 2 * (MAX_QUEUED_BYTES // 2)
    while mailbox.take() is not None:
        pass
    assert mailbox.buffered_bytes == 0
