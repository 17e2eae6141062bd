"""The conductor while it answers, else its registry; and what is not known is never denied."""

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
    """A source that knows some jobs, or is away."""

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

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def conductor() -> Source:
    """The first source."""
    return Source("conductor", "both")


@pytest.fixture
def registry() -> Source:
    """The second source."""
    return Source("registry", "both", "old")


@pytest.fixture
def auto(conductor: Source, registry: Source) -> FallbackBackend:
    """Both, in that order."""
    return FallbackBackend(conductor, registry)


async def test_the_conductor_comes_first(auto: FallbackBackend) -> None:
    assert (await auto.read_roster()).source == "conductor"
    assert (await auto.read_job("both", None)).source == "conductor"


async def test_when_a_job_ended_is_the_registrys_word(
    auto: FallbackBackend, conductor: Source, registry: Source
) -> None:
    conductor.listed = {"both": RosterEntry("both", "completed", 1.0, 2.0, 4, 4)}
    registry.listed = {"both": RosterEntry("both", "completed", 1.0, 2.0, completed_at=3.0)}
    roster = await auto.read_roster()
    assert (roster.source, roster.live) == ("conductor", True)
    entry = roster.entries["both"]
    assert (entry.completed_sheets, entry.completed_at) == (4, 3.0)


async def test_a_job_that_only_the_registry_knows_is_still_there(auto: FallbackBackend) -> None:
    assert (await auto.read_job("old", None)).source == "registry"


async def test_a_job_that_neither_knows_is_gone(auto: FallbackBackend, registry: Source) -> None:
    with pytest.raises(JobNotFoundError, match="Score not found: new"):
        await auto.read_job("new", None)
    registry.away = StateUnavailableError("unreadable")
    with pytest.raises(JobNotFoundError):
        await auto.read_job("new", None)


async def test_a_job_whose_row_is_damaged_is_still_there(
    auto: FallbackBackend, registry: Source
) -> None:
    registry.away = CorruptStateError("half a checkpoint")
    with pytest.raises(CorruptStateError):
        await auto.read_job("new", None)


async def test_while_the_conductor_is_away_the_registry_is_read(
    auto: FallbackBackend, conductor: Source
) -> None:
    conductor.away = AWAY
    assert (await auto.read_roster()).source == "registry"
    assert (await auto.read_job("both", None)).source == "registry"


async def test_while_the_conductor_is_away_a_missing_row_proves_nothing(
    auto: FallbackBackend, conductor: Source
) -> None:
    conductor.away = AWAY
    with pytest.raises(StateUnavailableError) as caught:
        await auto.read_job("new", None)
    assert caught.value.detail == "The conductor is away, and its registry does not know this job."


async def test_with_nobody_to_ask_nothing_is_known_and_no_path_is_told(
    auto: FallbackBackend, conductor: Source, registry: Source
) -> None:
    conductor.away, registry.away = AWAY, StateUnavailableError("no registry at /tmp/secret.db")
    for asked in (auto.read_roster(), auto.read_job("both", None)):
        with pytest.raises(StateUnavailableError, match=r"secret\.sock.*secret\.db") as caught:
            await asked
        assert "secret" not in caught.value.detail


async def test_a_change_of_the_source_is_one_line_of_the_log(
    auto: FallbackBackend, conductor: Source, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for away in (None, AWAY, AWAY, AWAY, None, None):
            conductor.away = away
            await auto.read_roster()
    assert [record.getMessage().split(" reason=")[0] for record in caplog.records] == [
        "state source changed source=registry",
        "state source changed source=conductor",
    ]


async def test_both_are_closed(auto: FallbackBackend, conductor: Source, registry: Source) -> None:
    await auto.close()
    assert (conductor.closed, registry.closed) == (True, True)
