"""What only the registry tells is read once, and never at the cost of the roster."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from marianne_stream.backends import roster_enricher as facts_module
from marianne_stream.backends.roster_enricher import RosterEnricher
from marianne_stream.errors import StateUnavailableError
from marianne_stream.models import JobState, Roster, RosterEntry
from tests.support.waiting import wait_until

OVER = RosterEntry("a", "completed", 1.0, 2.0)


class Registry:
    """A registry that knows some facts, and counts how often it is read."""

    def __init__(self) -> None:
        self.entries: list[RosterEntry] = []
        self.reads = 0
        self.away = False
        self.slow: asyncio.Event | None = None

    async def read_roster(self) -> Roster:
        self.reads += 1
        if self.slow is not None:
            await self.slow.wait()
        if self.away:
            raise StateUnavailableError("locked")
        return roster_of(*self.entries, source_live=False)

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:
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
    """What tells the facts."""
    return Registry()


@pytest.fixture
async def facts(registry: Registry) -> AsyncIterator[RosterEnricher]:
    """Who remembers them."""
    facts = RosterEnricher(registry)
    yield facts
    await facts.close()


async def end_told(facts: RosterEnricher, entry: RosterEntry = OVER) -> float | None:
    """The end of one job, which is all that the roster holds, once the registry has been read."""
    await facts.enrich(roster_of(entry))
    await wait_until(lambda: facts._read_task is None or facts._read_task.done())
    return (await facts.enrich(roster_of(entry))).entries[entry.job_id].completed_at


async def test_the_registry_is_read_once_for_all_that_it_tells(
    facts: RosterEnricher, registry: Registry
) -> None:
    other = RosterEntry("b", "failed", 5.0, 6.0)
    registry.entries = [ended(OVER, 3.0), ended(other, 7.0)]
    for _ in range(3):
        told = await facts.enrich(roster_of(OVER, other))
        assert {i: entry.completed_at for i, entry in told.entries.items()} == {"a": 3.0, "b": 7.0}
        assert told.entries["a"].submitted_at == 1.0
    assert registry.reads == 1


async def test_while_no_job_is_over_the_registry_is_not_read(
    facts: RosterEnricher, registry: Registry
) -> None:
    running = roster_of(RosterEntry("a", "running", 1.0, 2.0, 1, 4))
    assert await facts.enrich(running) == running
    assert registry.reads == 0


async def test_a_job_that_goes_on_has_its_counts_from_the_registry_until_they_are_told(
    facts: RosterEnricher, registry: Registry
) -> None:
    paused = RosterEntry("a", "paused", 1.0, 2.0)
    registry.entries = [replace(paused, completed_sheets=2, total_sheets=5)]
    found = (await facts.enrich(roster_of(paused))).entries["a"]
    assert (found.completed_sheets, found.total_sheets) == (2, 5)
    told = replace(paused, completed_sheets=3, total_sheets=5)
    assert (await facts.enrich(roster_of(told))).entries["a"].completed_sheets == 3


async def test_the_reason_of_a_crash_comes_with_the_end(
    facts: RosterEnricher, registry: Registry
) -> None:
    failed = replace(OVER, status="failed")
    registry.entries = [replace(ended(failed, 3.0), error_message="Daemon restarted")]
    found = (await facts.enrich(roster_of(failed))).entries["a"]
    assert (found.completed_at, found.error_message) == (3.0, "Daemon restarted")


async def test_a_registry_that_lags_is_read_again_but_not_with_each_roster(
    facts: RosterEnricher, registry: Registry
) -> None:
    registry.entries = [RosterEntry("a", "running", 1.0, 2.0)]
    assert [await end_told(facts) for _ in range(5)] == [None] * 5
    assert registry.reads == 1
    registry.entries = [ended(OVER, 3.0)]
    assert await end_told(facts) is None
    await facts.enrich(roster_of(OVER, RosterEntry("b", "failed", 5.0, 6.0)))
    await wait_until(lambda: registry.reads == 2)
    assert await end_told(facts) == 3.0
    assert registry.reads == 2


async def test_a_registry_that_lags_is_read_again_after_a_while(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts_module, "FIRST_RETRY_DELAY_S", 0.0)
    facts = RosterEnricher(registry)
    assert await end_told(facts) is None
    registry.entries = [ended(OVER, 3.0)]
    assert await end_told(facts) == 3.0
    await facts.close()


async def test_no_roster_but_the_first_waits_for_the_registry(
    facts: RosterEnricher, registry: Registry
) -> None:
    registry.entries = [ended(OVER, 3.0)]
    first = await facts.enrich(roster_of(OVER))
    assert first.entries["a"].completed_at == 3.0
    later = RosterEntry("b", "failed", 5.0, 6.0)
    registry.entries.append(ended(later, 7.0))
    assert (await facts.enrich(roster_of(OVER, later))).entries["b"].completed_at is None
    assert await end_told(facts, later) == 7.0


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
    facts: RosterEnricher, registry: Registry, again: RosterEntry
) -> None:
    registry.entries = [ended(OVER, 3.0)]
    assert await end_told(facts) == 3.0
    assert await end_told(facts, again) is None
    registry.entries = [ended(OVER, 4.0)]
    assert await end_told(facts) == 4.0


async def test_a_registry_that_cannot_be_read_costs_a_line_for_those_who_look_closely(
    facts: RosterEnricher, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.away = True
    with caplog.at_level(logging.DEBUG):
        assert await end_told(facts) is None
        assert await end_told(facts) is None
    lines = [(r.levelno, r.getMessage()) for r in caplog.records if r.name == facts_module.__name__]
    assert lines == [(logging.DEBUG, "registry not read error=locked")]


async def test_nobody_waits_for_a_registry_that_hangs_and_what_it_says_late_is_told(
    facts: RosterEnricher, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts_module, "FIRST_READ_TIMEOUT_S", 0.0)
    registry.slow = asyncio.Event()
    registry.entries = [ended(OVER, 3.0)]
    for also in (OVER, RosterEntry("b", "failed", 5.0, 6.0)):
        assert (await facts.enrich(roster_of(OVER, also))).entries["a"].completed_at is None
    assert registry.reads <= 1
    registry.slow.set()
    await wait_until(lambda: facts._registry_entries)
    assert await end_told(facts) == 3.0


async def test_a_fault_in_reading_is_told_to_the_log_alone(
    facts: RosterEnricher, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.entries = [None]  # type: ignore[list-item]
    with caplog.at_level(logging.ERROR):
        assert await end_told(facts) is None
    assert [r.getMessage() for r in caplog.records] == ["registry read failed"]
