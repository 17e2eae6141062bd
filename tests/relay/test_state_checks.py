"""Values of a source that an edge refuses."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from marianne_stream.backends.checkpoint import decode_checkpoint, make_state
from marianne_stream.backends.conductor import JobListEntry, make_entry
from marianne_stream.conductor_models import (
    ConductorInfo,
    ConductorLimits,
    RateLimit,
)
from marianne_stream.jobs.estimate import estimate_end
from marianne_stream.jobs.sheet_times import with_end
from marianne_stream.jobs.state_merge import has_unseen_change
from marianne_stream.models import Hook, JobProgress, JobState, RosterEntry, RunTimes, Sheet
from marianne_stream.relay.schema import (
    RelayStatus,
    encode_json,
    make_published_entry,
    parse_roster_entry,
    parse_state,
    parse_status,
)

LONG = "x" * 1_001
LATE_S = 1e12
T = 1_795_461_894.0

SHEET = Sheet(1, "failed", attempt=1, started_at=1.0, completed_at=2.0, error_code="E502")
ACTIVE = Sheet(2, "dispatched", attempt=1, started_at=2.0)
TIMES = RunTimes("2026-11-28T03:00:00Z", 1.0, 2.0)
PROGRESS = JobProgress(TIMES, last_progress_at=3.0, eta_at=9.0, stalled=(2,))
STATE = JobState(
    *("bait", "running", "conductor"),
    live=True,
    checkpoint_status="running",
    sheets=(SHEET, ACTIVE),
    total_sheets=2,
    estimated_cost=0.5,
    input_tokens=1,
    hooks=(Hook("run_job", success=True, chained_job_id="next"),),
    progress=PROGRESS,
    score_path="/home/someone/bait.yaml",
    workspace="/home/someone/bait",
)
INFO = ConductorInfo(
    version="0.1.0",
    started_at=1.0,
    running_jobs=1,
    limits=ConductorLimits(5, 15, 25),
    rate_limits=(RateLimit("claude", 2.0),),
    load_averages=(0.1, 0.2, 0.3),
)


def test_valid_state_is_passed_on_without_paths() -> None:
    parsed = parse_state(encode_json(STATE))
    assert parsed == STATE
    assert parsed.progress == PROGRESS
    assert (parsed.score_path, parsed.workspace) == (None, None)


@pytest.mark.parametrize(
    "change",
    [
        {"input_tokens": -1},
        {"output_tokens": 2**60},
        {"estimated_cost": -0.1},
        {"estimated_cost": 1e300},
        {"run": LONG},
        {"updated_at": LONG},
        {"hooks": (Hook("run_job", success=True),) * 101},
        {"hooks": (Hook(LONG, success=True),)},
        {"hooks": (Hook("run_job", success=True, chained_job_id=LONG),)},
        {"sheets": (replace(SHEET, attempt=-1),)},
        {"sheets": (replace(SHEET, status="x" * 101),)},
        {"sheets": (replace(SHEET, started_at=LATE_S),)},
        {"sheets": (replace(SHEET, completed_at=-1.0),)},
        {"sheets": (replace(SHEET, waiting_until=LATE_S),)},
        {"sheets": (replace(SHEET, work_s=-1.0),)},
        {"sheets": (replace(SHEET, timeout_s=1e300),)},
        {"sheets": (replace(SHEET, error_code=LONG),)},
        {"sheets": (replace(SHEET, movement=LONG),)},
        {"progress": replace(PROGRESS, eta_at=LATE_S)},
        {"progress": replace(PROGRESS, last_activity_at=-1.0)},
        {"progress": replace(PROGRESS, limited_until=LATE_S)},
        {"progress": replace(PROGRESS, stalled=(-1,))},
        {"progress": replace(PROGRESS, clone="$(id)")},
        {"progress": replace(PROGRESS, stalled=tuple(range(5_001)))},
        {"progress": replace(PROGRESS, times=replace(TIMES, run=LONG))},
        {"progress": replace(PROGRESS, times=replace(TIMES, started_at=LATE_S))},
        {"progress": replace(PROGRESS, times=replace(TIMES, waited_s=-1.0))},
        {"progress": replace(PROGRESS, times=replace(TIMES, waiting_since=LATE_S))},
    ],
    ids=" ".join,
)
def test_state_with_value_out_of_bounds_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any message
        parse_state(encode_json(replace(STATE, **change)))


ODD_VALUES: list[tuple[dict[str, object], dict[str, object]]] = [
    ({"total_duration_seconds": 1e12}, {}),
    ({"sheet_timeout_seconds": 1e12}, {}),
    ({"normal_attempts": 2**53 - 1}, {}),
    ({"normal_attempts": 2**53}, {}),
    ({"completed_at": 253_402_300_799.9999}, {}),
    ({"instrument_name": LONG}, {}),
    ({"movement": LONG}, {}),
    ({"status": LONG}, {}),
    ({"error_code": LONG}, {}),
    ({}, {"total_input_tokens": 2**53}),
    ({}, {"total_sheets": 2**53}),
    ({}, {"total_estimated_cost": 1e300}),
    ({}, {"job_name": LONG}),
    ({}, {"status": LONG}),
    ({}, {"created_at": LONG}),
    ({}, {"submitted_at": LONG, "sheets": None}),
    ({}, {"hook_results": [{"hook_type": LONG, "description": LONG}] * 101}),
]


@pytest.mark.parametrize(("sheet", "fields"), ODD_VALUES, ids=" ".join)
def test_edge_accepts_state_that_an_origin_made_of_odd_values(
    sheet: dict[str, object], fields: dict[str, object]
) -> None:
    checkpoint = {
        "job_id": "bait",
        "status": "running",
        "sheets": {"1": {"status": "completed", **sheet}},
        **fields,
    }
    decoded = decode_checkpoint(encode_json(checkpoint))
    entry = make_entry(JobListEntry("bait", str(checkpoint["status"])))
    assert parse_roster_entry(encode_json(entry)) == entry
    for listed in (None, entry):
        state = make_state(decoded, listed, source="conductor", live=True)
        assert parse_state(encode_json(state)) == state


def test_edge_accepts_entry_with_long_error() -> None:
    entry = RosterEntry("bait", "failed", 1.0, error_message="\x1b" * 60_000, workspace="/srv/bait")
    parsed = parse_roster_entry(encode_json(make_published_entry(entry)))
    assert parsed == replace(entry, error_message="\x1b" * 300, workspace=None)
    # The state has more of the error.
    shown = replace(STATE, status="failed", error_message=entry.error_message)
    assert not has_unseen_change(parsed, parsed, shown)
    assert has_unseen_change(parsed, parsed, replace(shown, error_message="another"))


def test_edge_accepts_times_that_an_origin_computed_from_odd_values() -> None:
    ended = Sheet(1, "completed", completed_at=100.0, work_s=200.0)
    ended = with_end(ended, span=None, seen_at=None)
    assert ended.started_at is None
    sheets = (*(replace(ended, number=number) for number in (1, 2, 3)), replace(ACTIVE, number=4))
    state = replace(STATE, sheets=sheets, completed_sheets=3, total_sheets=4)
    assert parse_state(encode_json(state)) == state
    times = RunTimes("1970-01-01T00:00:01Z", 1.0, 2.0)
    assert estimate_end(state, times, None, T) is not None
    assert estimate_end(replace(state, total_sheets=2**50), times, None, T) is None


def test_only_active_sheets_of_a_state_can_have_stalled() -> None:
    stalled = (2, *range(2**52, 2**52 + 100), 1)
    state = replace(STATE, progress=replace(PROGRESS, stalled=stalled))
    progress = parse_state(encode_json(state)).progress
    assert progress is not None
    assert progress.stalled == (2,)


@pytest.mark.parametrize("value", [b'"text"', b"[1]", b'{"times":{"run":1}}', b'{"stalled":"1"}'])
def test_state_with_progress_of_another_shape_is_refused(value: bytes) -> None:
    fields = msgspec.json.decode(encode_json(STATE), type=dict[str, msgspec.Raw])
    fields["progress"] = msgspec.Raw(value)
    with pytest.raises(ValueError):  # noqa: PT011 - any message
        parse_state(encode_json(fields))


def test_state_of_older_origin_is_accepted() -> None:
    fields = msgspec.json.decode(encode_json(STATE), type=dict[str, msgspec.Raw])
    for name in ("progress", "hooks", "estimated_cost", "input_tokens", "score_path"):
        del fields[name]
    assert parse_state(encode_json(fields)).progress is None


def test_times_of_older_origin_are_accepted() -> None:
    fields = msgspec.json.decode(encode_json(STATE))
    fields["progress"]["times"] = {"run": "r", "submitted_at": 1.0, "started_at": 2.0}
    fields["progress"]["times"] |= {"waited_s": 5.0, "seen_at": 9.0, "is_waiting": True}
    progress = parse_state(encode_json(fields)).progress
    assert progress is not None
    assert progress.times == RunTimes("r", 1.0, 2.0, waited_s=5.0)


def test_valid_conductor_is_passed_on() -> None:
    status = RelayStatus("conductor", live=True, events_live=True, conductor=INFO)
    assert parse_status(encode_json(status)).conductor == INFO


@pytest.mark.parametrize(
    "change",
    [
        {"version": LONG},
        {"pressure_level": LONG},
        {"running_jobs": -1},
        {"started_at": LATE_S},
        {"memory_mb": -1.0},
        {"load_averages": (-1.0, 0.0, 0.0)},
        {"limits": ConductorLimits(connections=-1)},
        {"rate_limits": (RateLimit(LONG, 1.0),)},
        {"rate_limits": (RateLimit("a", LATE_S),)},
        {"rate_limits": (RateLimit("a", 1.0),) * 21},
    ],
    ids=" ".join,
)
def test_conductor_with_value_out_of_bounds_is_left_out(change: dict[str, Any]) -> None:
    status = RelayStatus(
        "conductor", live=True, events_live=True, conductor=replace(INFO, **change)
    )
    parsed = parse_status(encode_json(status))
    assert parsed.conductor is None
    assert parsed.live
