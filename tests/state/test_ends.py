"""When jobs ended is read from the registry once, and never at the cost of the roster."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from marianne_stream.errors import StateUnavailableError
from marianne_stream.models import JobState, Roster, RosterEntry
from marianne_stream.state import ends as ends_module
from marianne_stream.state.ends import Ends
from tests.support.waiting import until

OVER = RosterEntry("a", "completed", 1.0, 2.0)


class Registry:
    """A registry that knows some ends, and counts how often it is read."""

    def __init__(self) -> None:
        self.entries: list[RosterEntry] = []
        self.reads = 0
        self.away = False
        self.slow: asyncio.Event | None = None

    async def roster(self) -> Roster:
        self.reads += 1
        if self.slow is not None:
            await self.slow.wait()
        if self.away:
            raise StateUnavailableError("locked")
        return roster_of(*self.entries, source_live=False)

    async def job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


def roster_of(*entries: RosterEntry, source_live: bool = True) -> Roster:
    listed = {entry.job_id: entry for entry in entries}
    return Roster(listed, source="conductor" if source_live else "registry", live=source_live)


def ended(entry: RosterEntry, completed_at: float | None) -> RosterEntry:
    """A registry's row: its times are some microseconds off."""
    submitted_at, started_at = (entry.submitted_at or 0.0) + 1e-5, (entry.started_at or 0.0) - 1e-5
    return RosterEntry(
        entry.job_id, entry.status, submitted_at, started_at, completed_at=completed_at
    )


@pytest.fixture
def registry() -> Registry:
    """What tells the ends."""
    return Registry()


@pytest.fixture
async def ends(registry: Registry) -> AsyncIterator[Ends]:
    """Who remembers them."""
    ends = Ends(registry)
    yield ends
    await ends.close()


async def end_told(ends: Ends, entry: RosterEntry = OVER) -> float | None:
    """The end of one job, which is all that the roster holds, once the registry has been read."""
    await ends.told(roster_of(entry))
    await until(lambda: ends._reading is None or ends._reading.done())
    return (await ends.told(roster_of(entry))).entries[entry.job_id].completed_at


async def test_the_registry_is_read_once_for_all_that_it_tells(
    ends: Ends, registry: Registry
) -> None:
    other = RosterEntry("b", "failed", 5.0, 6.0)
    registry.entries = [ended(OVER, 3.0), ended(other, 7.0)]
    for _ in range(3):
        told = await ends.told(roster_of(OVER, other))
        assert {i: entry.completed_at for i, entry in told.entries.items()} == {"a": 3.0, "b": 7.0}
        assert told.entries["a"].submitted_at == 1.0
    assert registry.reads == 1


async def test_while_no_job_is_over_the_registry_is_not_read(
    ends: Ends, registry: Registry
) -> None:
    running = roster_of(RosterEntry("a", "running", 1.0, 2.0))
    assert await ends.told(running) == running
    assert registry.reads == 0


async def test_a_job_of_which_the_registry_has_no_end_is_not_asked_for_again(
    ends: Ends, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends_module, "FIRST_AGAIN_S", 0.0)
    registry.entries = [ended(OVER, None)]
    assert [await end_told(ends) for _ in range(3)] == [None] * 3
    assert registry.reads == 1


async def test_a_registry_that_lags_is_read_again_but_not_with_each_roster(
    ends: Ends, registry: Registry
) -> None:
    registry.entries = [RosterEntry("a", "running", 1.0, 2.0)]
    assert [await end_told(ends) for _ in range(5)] == [None] * 5
    assert registry.reads == 1
    registry.entries = [ended(OVER, 3.0)]
    assert await end_told(ends) is None
    await ends.told(roster_of(OVER, RosterEntry("b", "failed", 5.0, 6.0)))
    await until(lambda: registry.reads == 2)
    assert await end_told(ends) == 3.0
    assert registry.reads == 2


async def test_a_registry_that_lags_is_read_again_after_a_while(
    ends: Ends, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends_module, "FIRST_AGAIN_S", 0.0)
    assert await end_told(ends) is None
    registry.entries = [ended(OVER, 3.0)]
    assert await end_told(ends) == 3.0


async def test_no_roster_but_the_first_waits_for_the_registry(
    ends: Ends, registry: Registry
) -> None:
    registry.entries = [ended(OVER, 3.0)]
    first = await ends.told(roster_of(OVER))
    assert first.entries["a"].completed_at == 3.0
    later = RosterEntry("b", "failed", 5.0, 6.0)
    registry.entries.append(ended(later, 7.0))
    assert (await ends.told(roster_of(OVER, later))).entries["b"].completed_at is None
    assert await end_told(ends, later) == 7.0


@pytest.mark.parametrize(
    "again",
    [
        RosterEntry("a", "running", 1.0, 2.0),
        RosterEntry("a", "completed", 1.0, 20.0),
        RosterEntry("a", "completed", 10.0, 2.0),
        RosterEntry("a", "failed", 1.0, 2.0),
    ],
)
async def test_the_end_of_a_run_is_not_that_of_the_next(
    ends: Ends, registry: Registry, again: RosterEntry
) -> None:
    registry.entries = [ended(OVER, 3.0)]
    assert await end_told(ends) == 3.0
    assert await end_told(ends, again) is None
    registry.entries = [ended(OVER, 4.0)]
    assert await end_told(ends) == 4.0


async def test_a_registry_that_cannot_be_read_costs_a_line_for_those_who_look_closely(
    ends: Ends, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.away = True
    with caplog.at_level(logging.DEBUG):
        assert await end_told(ends) is None
        assert await end_told(ends) is None
    lines = [(r.levelno, r.getMessage()) for r in caplog.records if r.name == ends_module.__name__]
    assert lines == [(logging.DEBUG, "when jobs ended is not known: locked")]


async def test_nobody_waits_for_a_registry_that_hangs_and_what_it_says_late_is_told(
    ends: Ends, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends_module, "PATIENCE_S", 0.0)
    registry.slow = asyncio.Event()
    registry.entries = [ended(OVER, 3.0)]
    for also in (OVER, RosterEntry("b", "failed", 5.0, 6.0)):
        assert (await ends.told(roster_of(OVER, also))).entries["a"].completed_at is None
    assert registry.reads <= 1
    registry.slow.set()
    await until(lambda: ends._known)
    assert await end_told(ends) == 3.0


async def test_a_fault_in_reading_is_told_to_the_log_alone(
    ends: Ends, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.entries = [None]  # type: ignore[list-item]
    with caplog.at_level(logging.ERROR):
        assert await end_told(ends) is None
    assert [r.getMessage() for r in caplog.records] == ["reading when jobs ended has failed"]
