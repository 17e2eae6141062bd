"""Epochs: the numbers that each process gives to events."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Epoch:
    """Numbers that an earlier process gave to the events that it stored.

    Attributes:
        epoch: its random id.
        first_number: number of its first stored event.
        first_seq: sequence number of that event in the store.
        last_seq: sequence number of its last stored event, or of the last before it.
        is_restored: True if it has restored the earlier events at its start, and numbers all events
            as the store does.
    """

    epoch: str
    first_number: int
    first_seq: int
    last_seq: int
    is_restored: bool

    def to_seq(self, number: int) -> int | None:
        """Return the sequence number of an event, or of the last stored one before it.

        Returns:
            the sequence number; None for an event from before the process has recorded.
        """
        if number < self.first_number - 1 and not self.is_restored:
            return None
        return min(self.first_seq + number - self.first_number, self.last_seq)

    def to_number(self, seq: int) -> int:
        """Return the number of a stored event of this epoch."""
        return self.first_number + seq - self.first_seq
