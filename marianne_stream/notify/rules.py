"""Rules of notifications: which changes of which jobs are told to which targets."""

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

# fmt: off
Kind = Literal[
    "failed", "completed", "cancelled", "paused", "waiting_for_person", "stalled", "sheet_failed",
    "conductor_away",
]
# fmt: on
Text = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Rule:
    """A rule of notifications, as a table of the settings file.

    Attributes:
        on: kinds of changes that it tells.
        targets: URLs of Apprise, which hold passwords.
        jobs: patterns of job ids; empty for all jobs. The conductor belongs to no job.
        name: its name, which begins with a letter; None for its number.
        max_per_hour: largest number of messages in an hour; what is more is summed up.
        away_after_s: time after which a conductor that does not answer is told, in seconds.
    """

    on: Annotated[tuple[Kind, ...], Field(min_length=1)]
    targets: Annotated[tuple[Text, ...], Field(min_length=1)] = dataclasses.field(repr=False)
    jobs: tuple[Text, ...] = ()
    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")] | None = None
    max_per_hour: Annotated[int, Field(ge=1, le=1000, strict=True)] = 1000
    away_after_s: Annotated[float, Field(ge=10, le=86400, allow_inf_nan=False, strict=True)] = 300.0


def rules_by_name(rules: Iterable[Rule]) -> dict[str, Rule]:
    """Return rules by their names, in order; those without a name by their numbers from 1."""
    return {rule.name or str(number): rule for number, rule in enumerate(rules, 1)}


def target_digest(url: str) -> str:
    """Return the text that stands for a target in the outbox; the URL holds passwords."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]
