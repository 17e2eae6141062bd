"""What is kept of a log for one that does not read."""

from typing import cast

from marianne_stream.feeds.log_batches import MAILBOX_BYTES, LogBatch, LogMailbox
from marianne_stream.logs.reader import Position, Step


def batch(size: int) -> LogBatch:
    """A batch of so many bytes, from nowhere."""
    frames = b"x" * size
    return LogBatch(Step([], 0, 0, cast("Position", None)), (), b"", frames)


def test_a_batch_that_is_not_kept_is_not_counted() -> None:
    mailbox = LogMailbox(None, None)
    for _ in range(3):
        mailbox.offer(batch(MAILBOX_BYTES // 2))
    assert mailbox.behind
    assert mailbox.held_bytes == 2 * (MAILBOX_BYTES // 2)
    while mailbox.take() is not None:
        pass
    assert mailbox.held_bytes == 0
