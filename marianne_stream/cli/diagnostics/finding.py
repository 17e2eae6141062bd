"""Result of a check."""

from dataclasses import dataclass
from typing import Literal

FindingLevel = Literal["ok", "warning", "error"]


def pluralize(count: int, noun: str) -> str:
    """Return a count with its noun: `1 job`, `2 jobs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check.

    Attributes:
        level: `ok`; `warning` if the server works, but something will be missing; `error` if it
            does not work.
        subject: what was checked.
        text: what was found.
        advice: what to do; "" for nothing.
    """

    level: FindingLevel
    subject: str
    text: str
    advice: str = ""

    @property
    def line(self) -> str:
        """Return the finding as one line of text."""
        advice = f". To do: {self.advice}" if self.advice else ""
        return f"{self.level:8} {self.subject}: {self.text}{advice}"
