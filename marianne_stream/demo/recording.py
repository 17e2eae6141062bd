"""Recording of a conductor's socket, read from a file of JSON lines."""

import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marianne_stream.demo.checkpoint_fields import JsonObject
from marianne_stream.errors import SettingsError


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """A line that the conductor sent, `time_s` seconds after the start of the recording."""

    time_s: float
    message: JsonObject

    # Empty for a notification.
    method: str
    job_id: str


class Recording:
    """Recorded messages in the order of their times."""

    def __init__(self, entries: list[RecordedMessage]) -> None:
        self.entries = sorted(entries, key=lambda entry: entry.time_s)
        self._responses: dict[tuple[str, str], list[RecordedMessage]] = {}
        for entry in self.entries:
            if entry.method:
                self._responses.setdefault((entry.method, entry.job_id), []).append(entry)

    @classmethod
    def from_file(cls, path: Path) -> "Recording":
        """Read a recording. Blocks.

        Raises:
            SettingsError: the file cannot be read, or a line is malformed.
        """
        entries: list[RecordedMessage] = []
        try:
            with path.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    entries.append(parse_entry(line, f"{path}, line {number}"))
        except OSError as exc:
            raise SettingsError(f"the recording {path} cannot be read: {exc.strerror}") from exc
        return cls(entries)

    @property
    def duration_s(self) -> float:
        """Return the time of the last message."""
        return self.entries[-1].time_s if self.entries else 0.0

    def notifications(self) -> Iterator[RecordedMessage]:
        """Return an iterator over the notifications."""
        return (entry for entry in self.entries if not entry.method)

    def response_at(self, time_s: float, method: str, job_id: str = "") -> RecordedMessage | None:
        """Return the last response to a method up to a time, or None before the first one."""
        responses = self._responses.get((method, job_id), [])
        index = bisect_right(responses, time_s, key=lambda entry: entry.time_s)
        return responses[index - 1] if index else None

    def first_response(self, method: str) -> RecordedMessage | None:
        """Return the first response to a method without a job."""
        responses = self._responses.get((method, ""))
        return responses[0] if responses else None


def parse_entry(line: bytes, location: str) -> RecordedMessage:
    """Parse one line of a recording; the message may be an object or its text.

    Raises:
        SettingsError: the line is malformed; the message begins with `location`.
    """
    fields = parse_object(line, location)
    time_s, kind, message = fields.get("t"), fields.get("kind"), fields.get("line")
    if isinstance(time_s, bool) or not isinstance(time_s, int | float):
        raise SettingsError(f"{location}: got {time_s!r} as t, expected seconds")
    if isinstance(message, str):
        message = parse_object(message, location)
    if not isinstance(message, dict):
        raise SettingsError(f"{location}: got {message!r:.40} as line, expected an object")
    if kind == "notify":
        return RecordedMessage(time_s, message, "", "")
    method, params = fields.get("method"), fields.get("params") or {}
    if kind != "response" or not isinstance(method, str) or not isinstance(params, dict):
        raise SettingsError(f"{location}: expected a notify, or a response with method and params")
    return RecordedMessage(time_s, message, method, str(params.get("job_id", "")))


def parse_object(text: str | bytes, location: str) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        SettingsError: the text is something else.
    """
    try:
        value = json.loads(text)
    except ValueError as exc:
        raise SettingsError(f"{location}: expected JSON, but {exc}") from exc
    if not isinstance(value, dict):
        raise SettingsError(f"{location}: got {value!r:.40}, expected an object")
    return value
