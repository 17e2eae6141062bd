"""Facts from the registry are read once, and never delay the roster."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from marianne_stream.backends import roster_enricher as enricher_module
from marianne_stream.backends.roster_enricher import RosterEnricher
from marianne_stream.errors import StateUnavailableError
from marianne_stream.models import JobState, Roster, RosterEntry
from tests.support.waiting import wait_until

ENDED = RosterEntry("a", "completed", 1.0, 2.0)


class Registry:
    """Registry with some entries, which counts its reads."""

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
        return make_roster(*self.entries, source_live=False)

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        raise NotImplementedError

    async def read_checkpoint(self, job_id: str) -> bytes:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


def make_roster(*entries: RosterEntry, source_live: bool = True) -> Roster:
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
    """Return an empty registry."""
    return Registry()


@pytest.fixture
async def enricher(registry: Registry) -> AsyncIterator[RosterEnricher]:
    """Yield an enricher, and close it."""
    enricher = RosterEnricher(registry)
    yield enricher
    await enricher.close()


async def read_end(enricher: RosterEnricher, entry: RosterEntry = ENDED) -> float | None:
    """Return the end of the only listed job after the registry has been read."""
    await enricher.enrich(make_roster(entry))
    await wait_until(lambda: enricher._read_task is None or enricher._read_task.done())
    return (await enricher.enrich(make_roster(entry))).entries[entry.job_id].completed_at


async def test_complete_registry_read_once(enricher: RosterEnricher, registry: Registry) -> None:
    other = RosterEntry("b", "failed", 5.0, 6.0)
    registry.entries = [ended(ENDED, 3.0), ended(other, 7.0)]
    for _ in range(3):
        roster = await enricher.enrich(make_roster(ENDED, other))
        assert {i: entry.completed_at for i, entry in roster.entries.items()} == {
            "a": 3.0,
            "b": 7.0,
        }
        assert roster.entries["a"].submitted_at == 1.0
    assert registry.reads == 1


async def test_running_jobs_only_registry_not_read(
    enricher: RosterEnricher, registry: Registry
) -> None:
    running = make_roster(RosterEntry("a", "running", 1.0, 2.0, 1, 4))
    assert await enricher.enrich(running) == running
    assert registry.reads == 0


async def test_paused_job_gets_counts_from_registry(
    enricher: RosterEnricher, registry: Registry
) -> None:
    paused = RosterEntry("a", "paused", 1.0, 2.0)
    registry.entries = [replace(paused, completed_sheets=2, total_sheets=5)]
    found = (await enricher.enrich(make_roster(paused))).entries["a"]
    assert (found.completed_sheets, found.total_sheets) == (2, 5)
    roster = replace(paused, completed_sheets=3, total_sheets=5)
    assert (await enricher.enrich(make_roster(roster))).entries["a"].completed_sheets == 3


async def test_crashed_job_gets_error_with_end(
    enricher: RosterEnricher, registry: Registry
) -> None:
    failed = replace(ENDED, status="failed")
    registry.entries = [replace(ended(failed, 3.0), error_message="Daemon restarted")]
    found = (await enricher.enrich(make_roster(failed))).entries["a"]
    assert (found.completed_at, found.error_message) == (3.0, "Daemon restarted")


async def test_lagging_registry_not_read_with_each_roster(
    enricher: RosterEnricher, registry: Registry
) -> None:
    registry.entries = [RosterEntry("a", "running", 1.0, 2.0)]
    assert [await read_end(enricher) for _ in range(5)] == [None] * 5
    assert registry.reads == 1
    registry.entries = [ended(ENDED, 3.0)]
    assert await read_end(enricher) is None
    await enricher.enrich(make_roster(ENDED, RosterEntry("b", "failed", 5.0, 6.0)))
    await wait_until(lambda: registry.reads == 2)
    assert await read_end(enricher) == 3.0
    assert registry.reads == 2


async def test_lagging_registry_read_again_after_delay(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enricher_module, "FIRST_RETRY_DELAY_S", 0.0)
    enricher = RosterEnricher(registry)
    assert await read_end(enricher) is None
    registry.entries = [ended(ENDED, 3.0)]
    assert await read_end(enricher) == 3.0
    await enricher.close()


async def test_first_roster_alone_waits(enricher: RosterEnricher, registry: Registry) -> None:
    registry.entries = [ended(ENDED, 3.0)]
    first = await enricher.enrich(make_roster(ENDED))
    assert first.entries["a"].completed_at == 3.0
    later = RosterEntry("b", "failed", 5.0, 6.0)
    registry.entries.append(ended(later, 7.0))
    assert (await enricher.enrich(make_roster(ENDED, later))).entries["b"].completed_at is None
    assert await read_end(enricher, later) == 7.0


@pytest.mark.parametrize(
    "again",
    [
        RosterEntry("a", "running", 1.0, 2.0),
        RosterEntry("a", "completed", 1.0, 20.0),
        RosterEntry("a", "completed", 10.0, 2.0),
        RosterEntry("a", "failed", 1.0, 2.0),
    ],
)
async def test_end_of_previous_run_not_used(
    enricher: RosterEnricher, registry: Registry, again: RosterEntry
) -> None:
    registry.entries = [ended(ENDED, 3.0)]
    assert await read_end(enricher) == 3.0
    assert await read_end(enricher, again) is None
    registry.entries = [ended(ENDED, 4.0)]
    assert await read_end(enricher) == 4.0


async def test_unreadable_registry_logged_at_debug(
    enricher: RosterEnricher, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.away = True
    with caplog.at_level(logging.DEBUG):
        assert await read_end(enricher) is None
        assert await read_end(enricher) is None
    lines = [
        (r.levelno, r.getMessage()) for r in caplog.records if r.name == enricher_module.__name__
    ]
    assert lines == [(logging.DEBUG, "registry not read error=locked")]


async def test_hanging_registry_not_waited_for_and_used_later(
    enricher: RosterEnricher, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enricher_module, "FIRST_READ_TIMEOUT_S", 0.0)
    registry.slow = asyncio.Event()
    registry.entries = [ended(ENDED, 3.0)]
    for also in (ENDED, RosterEntry("b", "failed", 5.0, 6.0)):
        assert (await enricher.enrich(make_roster(ENDED, also))).entries["a"].completed_at is None
    assert registry.reads <= 1
    registry.slow.set()
    await wait_until(lambda: enricher._registry_entries)
    assert await read_end(enricher) == 3.0


async def test_unexpected_error_logged(
    enricher: RosterEnricher, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.entries = [None]  # type: ignore[list-item]
    with caplog.at_level(logging.ERROR):
        assert await read_end(enricher) is None
    assert [r.getMessage() for r in caplog.records] == ["registry read failed"]
