"""The conductor while it answers, else its registry."""

import logging

import pytest

from marianne_stream.backends.fallback import FallbackBackend
from marianne_stream.errors import (
    ConductorUnreachableError,
    CorruptStateError,
    JobNotFoundError,
    StateUnavailableError,
)
from marianne_stream.models import JobState, Roster, RosterEntry, StateSourceName

AWAY = ConductorUnreachableError("nobody listens at /tmp/secret.sock")


class Source:
    """Backend with some jobs, which can be away."""

    def __init__(self, name: StateSourceName, *job_ids: str) -> None:
        self.name: StateSourceName = name
        self.job_ids = job_ids
        self.listed = {job_id: RosterEntry(job_id, "running") for job_id in job_ids}
        self.away: StateUnavailableError | None = None
        self.closed = False

    async def read_roster(self) -> Roster:
        if self.away is not None:
            raise self.away
        return Roster(self.listed, source=self.name, live=self.name == "conductor")

    async def read_job(self, job_id: str, entry: RosterEntry | None) -> JobState:
        if self.away is not None:
            raise self.away
        if job_id not in self.job_ids:
            raise JobNotFoundError(job_id)
        return JobState(job_id, "running", self.name, self.name == "conductor", "running")

    async def read_checkpoint(self, job_id: str) -> bytes:
        raise NotImplementedError

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def conductor() -> Source:
    """Return the primary backend."""
    return Source("conductor", "both")


@pytest.fixture
def registry() -> Source:
    """Return the fallback backend."""
    return Source("registry", "both", "old")


@pytest.fixture
def fallback(conductor: Source, registry: Source) -> FallbackBackend:
    """Return a backend of both."""
    return FallbackBackend(conductor, registry)


async def test_conductor_answers_conductor_read(fallback: FallbackBackend) -> None:
    assert (await fallback.read_roster()).source == "conductor"
    assert (await fallback.read_job("both", None)).source == "conductor"


async def test_ended_job_gets_end_from_registry(
    fallback: FallbackBackend, conductor: Source, registry: Source
) -> None:
    conductor.listed = {"both": RosterEntry("both", "completed", 1.0, 2.0, 4, 4)}
    registry.listed = {"both": RosterEntry("both", "completed", 1.0, 2.0, completed_at=3.0)}
    roster = await fallback.read_roster()
    assert (roster.source, roster.live) == ("conductor", True)
    entry = roster.entries["both"]
    assert (entry.completed_sheets, entry.completed_at) == (4, 3.0)


async def test_job_only_in_registry_found(fallback: FallbackBackend) -> None:
    assert (await fallback.read_job("old", None)).source == "registry"


async def test_job_in_neither_not_found(fallback: FallbackBackend, registry: Source) -> None:
    with pytest.raises(JobNotFoundError, match="Score not found: new"):
        await fallback.read_job("new", None)
    registry.away = StateUnavailableError("unreadable")
    with pytest.raises(JobNotFoundError):
        await fallback.read_job("new", None)


async def test_job_with_damaged_row_not_reported_missing(
    fallback: FallbackBackend, registry: Source
) -> None:
    registry.away = CorruptStateError("half a checkpoint")
    with pytest.raises(CorruptStateError):
        await fallback.read_job("new", None)


async def test_conductor_away_registry_read(fallback: FallbackBackend, conductor: Source) -> None:
    conductor.away = AWAY
    assert (await fallback.read_roster()).source == "registry"
    assert (await fallback.read_job("both", None)).source == "registry"


async def test_conductor_away_missing_row_unavailable(
    fallback: FallbackBackend, conductor: Source
) -> None:
    conductor.away = AWAY
    with pytest.raises(StateUnavailableError) as caught:
        await fallback.read_job("new", None)
    assert caught.value.detail == "The conductor is away, and has saved no state of this job."


async def test_both_away_unavailable_without_path(
    fallback: FallbackBackend, conductor: Source, registry: Source
) -> None:
    conductor.away, registry.away = AWAY, StateUnavailableError("no registry at /tmp/secret.db")
    for asked in (fallback.read_roster(), fallback.read_job("both", None)):
        with pytest.raises(StateUnavailableError, match=r"secret\.sock.*secret\.db") as caught:
            await asked
        assert "secret" not in caught.value.detail


async def test_source_change_logged_once(
    fallback: FallbackBackend, conductor: Source, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for away in (None, AWAY, AWAY, AWAY, None, None):
            conductor.away = away
            await fallback.read_roster()
    assert [record.getMessage().split(" reason=")[0] for record in caplog.records] == [
        "state source changed source=registry",
        "state source changed source=conductor",
    ]


async def test_close_closes_both(
    fallback: FallbackBackend, conductor: Source, registry: Source
) -> None:
    await fallback.close()
    assert (conductor.closed, registry.closed) == (True, True)
