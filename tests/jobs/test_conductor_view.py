"""Views of conductors, with the jobs of each that wait."""

from marianne_stream.conductor_models import ConductorInfo
from marianne_stream.jobs.conductor_view import find_waiting_jobs, make_views
from marianne_stream.models import Roster, RosterDetails, RosterEntry, Waiting

PERSON = Waiting("person", "Sheet 3 waits for a person's decision.", 3)


def make_roster(**statuses_by_source: dict[str, str]) -> Roster:
    """Return a roster of jobs by their sources."""
    entries = {}
    for source, statuses in statuses_by_source.items():
        for job_id, status in statuses.items():
            entry = RosterEntry(f"{source}:{job_id}", status)
            entries[entry.job_id] = entry
    return Roster(entries, source="redis", live=True)


def test_each_conductor_has_the_waiting_jobs_of_its_source() -> None:
    roster = make_roster(
        east={"a": "queued", "b": "completed", "c:d": "running"},
        west={"a": "paused", "b": "running"},
    )
    waiting = find_waiting_jobs(roster, {"east:c:d": RosterDetails(waiting=PERSON)})
    infos = {f"{name}:": ConductorInfo(version=name) for name in ("west", "north", "east")}
    views = {view.source_name: view for view in make_views(infos, waiting)}
    assert list(views) == ["east", "north", "west"]
    assert [(job.job_id, job.waiting.code) for job in views["east"].to_data().waiting] == [
        ("east:a", "queued"),
        ("east:c:d", "person"),
    ]
    assert views["north"].waiting == ()
    assert [job.job_id for job in views["west"].waiting] == ["west:a"]


def test_only_conductor_has_all_waiting_jobs() -> None:
    roster = make_roster(east={"a": "queued"}, west={"a": "queued"})
    (view,) = make_views({"": ConductorInfo()}, find_waiting_jobs(roster, {}))
    assert [job.job_id for job in view.to_data().waiting] == ["east:a", "west:a"]
