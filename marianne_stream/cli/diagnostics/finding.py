"""What a check found."""

from dataclasses import dataclass
from typing import Literal

FindingLevel = Literal["ok", "warning", "error"]


def pluralize(count: int, noun: str) -> str:
    """Return a number of things: `1 job`, `2 jobs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        level: `ok`; `warning` if the server works, and something will be missing; `error` if not.
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
        """The finding as one line of text."""
        advice = f". To do: {self.advice}" if self.advice else ""
        return f"{self.level:8} {self.subject}: {self.text}{advice}"
