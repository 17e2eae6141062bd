"""Clock of a replay: converts the times in a recording's messages to the time of playing."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from marianne_stream.demo.checkpoint_fields import format_time
from marianne_stream.demo.recording import Recording

# Fields with the time of something that has happened when the message is sent.
PAST_TIME_FIELDS = frozenset(
    {"timestamp", "submitted_at", "created_at", "started_at", "updated_at", "completed_at"}
)

# Further fields with a time: epoch seconds, or ISO 8601.
TIME_FIELDS = PAST_TIME_FIELDS | {
    *("fire_at", "last_activity_at", "last_event_at", "rate_limit_expires_at", "resume_at"),
}

# Fields with a time at work in seconds, which passes faster at a higher speed.
DURATION_FIELDS = frozenset({"total_duration_seconds", "execution_duration_seconds"})


@dataclass(frozen=True, slots=True)
class ReplayClock:
    """Relation of a recording's times to the time of playing.

    Attributes:
        recorded_at: start of the recording, in epoch seconds.
        played_at: start of playing, in epoch seconds.
        speed: recorded seconds per second.
    """

    recorded_at: float
    played_at: float
    speed: float

    def convert(self, value: Any) -> Any:
        """Return a part of a message with its times converted."""
        if isinstance(value, dict):
            return {name: self._convert_field(name, field) for name, field in value.items()}
        if isinstance(value, list):
            return [self.convert(item) for item in value]
        return value

    def _convert_field(self, name: str, value: Any) -> Any:
        if name in TIME_FIELDS and (time_s := parse_time(value)) is not None:
            moved_s = self.played_at + (time_s - self.recorded_at) / self.speed
            return format_time(moved_s) if isinstance(value, str) else moved_s
        if name in DURATION_FIELDS and isinstance(value, float):
            return value / self.speed
        return self.convert(value)


def find_recording_start(recording: Recording) -> float | None:
    """Return the start of a recording in epoch seconds, or None if its messages have no times.

    A message is received after all that it tells of: the latest start that this allows is the most
    precise one.
    """
    starts = (
        time_s - entry.time_s
        for entry in recording.entries
        for time_s in iterate_past_times(entry.message)
    )
    return max(starts, default=None)


def iterate_past_times(value: Any) -> Iterator[float]:
    """Yield the times of past events in a part of a message, in epoch seconds."""
    if isinstance(value, dict):
        for name, field in value.items():
            time_s = parse_time(field) if name in PAST_TIME_FIELDS else None
            if time_s is not None:
                yield time_s
            else:
                yield from iterate_past_times(field)
    elif isinstance(value, list):
        for item in value:
            yield from iterate_past_times(item)


def parse_time(value: object) -> float | None:
    """Return a time in epoch seconds; None for a value that is not a time."""
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError:
        return None
