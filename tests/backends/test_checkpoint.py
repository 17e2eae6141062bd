"""Checkpoints and roster entries combined to states."""

import json

import msgspec
import pytest

from marianne_stream.backends.checkpoint import (
    Checkpoint,
    CheckpointSheet,
    decode_checkpoint,
    make_run_id,
    make_state,
    make_state_from_entry,
    mark_stopped_sheets,
    to_epoch_s,
    to_iso_time,
)
from marianne_stream.backends.values import MAX_TEXT_CHARS
from marianne_stream.jobs.job_data import make_status_data
from marianne_stream.jobs.run_times import submission_time, update_run_times
from marianne_stream.models import JobState, RosterEntry

WRITTEN_AT = "2026-11-23T19:24:54.875461Z"
WRITTEN_S = 1795461894.875461


def make_checkpoint(**fields: object) -> Checkpoint:
    """Return a checkpoint of three sheets, one of them active."""
    sheets = {"3": {}, "1": {"status": "completed"}, "2": {"status": "dispatched"}}
    shown = {"job_id": "a", "status": "running", "total_sheets": 3, "sheets": sheets}
    return msgspec.convert({**shown, "updated_at": WRITTEN_AT, **fields}, Checkpoint)


def state(checkpoint: Checkpoint, entry: RosterEntry | None = None) -> JobState:
    """Return the state as from the conductor."""
    return make_state(checkpoint, entry, source="conductor", live=True)


def test_unknown_fields_skipped() -> None:
    raw = (
        b'{"job_id": "a", "status": "new", "config": {"deep": [1, {}]}, "sheets": {"1": {"x": 1}}}'
    )
    checkpoint = msgspec.json.decode(raw, type=Checkpoint)
    assert checkpoint.sheets == {"1": CheckpointSheet()}
    assert state(checkpoint).status == "new"


def test_sheets_sorted_by_number() -> None:
    sheets = {str(number): {"status": "pending"} for number in (10, 2, 1)}
    assert [each.number for each in state(make_checkpoint(sheets=sheets)).sheets] == [1, 2, 10]


def test_sheet_without_number_rejected() -> None:
    with pytest.raises(ValueError, match="one"):
        state(make_checkpoint(sheets={"one": {}}))


def test_progress_counts_completed_sheets() -> None:
    statuses = ("completed", "skipped", "cancelled", "completed_with_notes")
    sheets = {str(number): {"status": each} for number, each in enumerate(statuses, 1)}
    shown = state(make_checkpoint(sheets=sheets, total_sheets=8))
    assert (shown.completed_sheets, shown.total_sheets) == (1, 8)
    assert shown.progress_percent == 12.5


def test_current_sheet_missing_is_first_active() -> None:
    sheets = {"3": {"status": "in_progress"}, "2": {"status": "dispatched"}, "1": {}}
    assert state(make_checkpoint(sheets=sheets)).current_sheet == 2
    assert state(make_checkpoint(sheets=sheets, current_sheet=3)).current_sheet == 3
    assert state(make_checkpoint(sheets={"1": {}})).current_sheet is None


def test_error_message_missing_is_of_first_failed_sheet() -> None:
    sheets = {
        "1": {"status": "completed", "error_message": "tried twice"},
        "3": {"status": "failed", "error_message": "third"},
        "2": {"status": "failed", "error_message": "second"},
    }
    assert state(make_checkpoint(sheets=sheets)).error_message == "second"
    assert state(make_checkpoint(sheets=sheets, error_message="all")).error_message == "all"


def test_entry_status_in_conflict_not_final() -> None:
    entry = RosterEntry("a", "cancelled", submitted_at=WRITTEN_S - 8)
    shown = state(make_checkpoint(), entry)
    assert (shown.status, shown.is_terminal, shown.is_final) == ("cancelled", True, False)
    assert state(make_checkpoint(status="cancelled"), entry).is_final


def test_trusted_entry_status_final() -> None:
    entry = RosterEntry("a", "cancelled", submitted_at=WRITTEN_S - 8)
    shown = make_state(make_checkpoint(), entry, source="registry", live=False, trust_status=True)
    assert shown.is_final


def test_stale_checkpoint_ignored() -> None:
    entry = RosterEntry("a", "queued", submitted_at=WRITTEN_S + 1, workspace="/ws")
    old = make_checkpoint(status="completed")
    assert state(old, entry) == make_state_from_entry(entry, source="conductor", live=True)
    newer = RosterEntry("a", "queued", submitted_at=WRITTEN_S - 1)
    assert len(state(old, newer).sheets) == 3


def test_old_checkpoint_whose_time_of_change_goes_on_rising_ignored() -> None:
    entry = RosterEntry("a", "queued", submitted_at=WRITTEN_S - 1)
    begun = {"created_at": WRITTEN_S - 90, "started_at": WRITTEN_S - 90}
    for fields in (begun, {"started_at": WRITTEN_S - 90}, {"created_at": WRITTEN_S - 90}):
        old = make_checkpoint(status="completed", **fields)
        assert state(old, entry) == make_state_from_entry(entry, source="conductor", live=True)
    resumed = make_checkpoint(created_at=WRITTEN_S - 90, started_at=WRITTEN_S - 0.5)
    assert len(state(resumed, entry).sheets) == 3


def test_bare_metadata_gives_state_without_sheets() -> None:
    raw = b'{"job_id": "a", "status": "queued", "submitted_at": 1795461886.5, "workspace": "/ws"}'
    checkpoint = msgspec.json.decode(raw, type=Checkpoint)
    assert checkpoint.is_metadata_only
    shown = state(checkpoint)
    assert (shown.status, shown.sheets, shown.progress_percent) == ("queued", (), 0.0)
    assert (shown.submitted_at, shown.workspace) == ("2026-11-23T19:24:46.500Z", "/ws")


def test_run_id_same_for_close_start_times() -> None:
    assert make_run_id(1795461886.9938812) == make_run_id(1795461886.993874)
    assert make_run_id(1795461886.9938812) != make_run_id(1795461896.9938812)
    assert make_run_id(None) == ""


def test_time_in_either_form_converted() -> None:
    assert to_iso_time(1795461894.875461) == "2026-11-23T19:24:54.875Z"
    assert to_iso_time(WRITTEN_AT) == WRITTEN_AT
    assert to_epoch_s(WRITTEN_AT) == pytest.approx(WRITTEN_S)
    assert to_epoch_s(WRITTEN_S) == WRITTEN_S
    assert to_epoch_s("soon") is None
    assert to_epoch_s(None) is None


# Each is another year in UTC, which has no text.
ODD_YEARS = ["0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", "1969-12-31T23:59:59Z"]


@pytest.mark.parametrize("text", ODD_YEARS)
def test_time_in_odd_year_is_no_time(text: str) -> None:
    assert to_epoch_s(text) is None
    shown = state(make_checkpoint(created_at=text, started_at=text))
    assert submission_time(shown) is None
    assert update_run_times(None, shown, WRITTEN_S, sees_changes=True) is None


@pytest.mark.parametrize("absurd", [1e13, 1e17, 1e300], ids=["year", "second", "number"])
def test_time_out_of_range_is_none(absurd: float) -> None:
    shown = state(make_checkpoint(started_at=absurd, created_at=absurd))
    assert (shown.started_at, shown.created_at) == (None, None)


@pytest.mark.parametrize("key", ["01", " 1", "1_0", "-1", "+1", "\u0661"])
def test_duplicate_sheet_number_rejected(key: str) -> None:
    with pytest.raises(ValueError, match="is not a sheet number"):
        state(make_checkpoint(sheets={"1": {}, key: {}}))


@pytest.mark.parametrize("total", [1, 0, -5])
def test_completed_sheets_above_total_raise_total(total: int) -> None:
    sheets = {"1": {"status": "completed"}, "2": {"status": "completed"}}
    shown = state(make_checkpoint(sheets=sheets, total_sheets=total))
    assert (shown.completed_sheets, shown.total_sheets) == (2, 2)
    assert make_status_data(shown, with_paths=False).progress_percent == 100


def test_bare_metadata_counts_from_entry() -> None:
    bare = Checkpoint(job_id="a", status="failed", error_message="no such instrument")
    entry = RosterEntry("a", "failed", completed_sheets=2, total_sheets=4)
    shown = state(bare, entry)
    assert (shown.completed_sheets, shown.total_sheets) == (2, 4)
    assert shown.error_message == "no such instrument"
    assert shown.is_final


def test_time_without_zone_is_utc() -> None:
    assert to_epoch_s("1970-01-01T00:00:01") == 1.0


def test_non_standard_json_decoded() -> None:
    raw = rb'{"job_id": "odd\udcff", "status": "failed", "cost": NaN, "tail": "NaN \ud800"}'
    assert decode_checkpoint(raw).job_id == r"odd\xff"


@pytest.mark.parametrize("status", ["cancelled", "failed", "completed"])
def test_ended_job_has_no_active_sheet(status: str) -> None:
    shown = mark_stopped_sheets(state(make_checkpoint(status=status)))
    assert shown.current_sheet is None
    assert [sheet.status for sheet in shown.sheets] == ["completed", "stopped", "pending"]


def test_inconsistent_end_keeps_sheets() -> None:
    shown = mark_stopped_sheets(state(make_checkpoint(), RosterEntry("a", "completed")))
    assert shown.current_sheet is None
    assert [sheet.status for sheet in shown.sheets] == ["completed", "dispatched", "pending"]
    running = state(make_checkpoint())
    assert mark_stopped_sheets(running) is running


def test_end_and_error_missing_from_entry() -> None:
    entry = RosterEntry("a", "failed", completed_at=3.0, error_message="Daemon restarted")
    sheets = {"1": {"status": "failed", "error_message": "exit code 1"}}
    shown = state(make_checkpoint(status="failed", sheets=sheets), entry)
    assert (shown.completed_at, shown.error_message) == (
        "1970-01-01T00:00:03.000Z",
        "Daemon restarted",
    )
    reported = make_checkpoint(status="failed", completed_at=WRITTEN_AT, error_message="disk full")
    shown = state(reported, entry)
    assert (shown.completed_at, shown.error_message) == (WRITTEN_AT, "disk full")
    beginning = RosterEntry("a", "failed", error_message="exit")
    failed = state(make_checkpoint(status="failed", sheets=sheets), beginning)
    assert failed.error_message == "exit code 1"


def decode_state(**fields: object) -> JobState:
    """Return the state of a decoded checkpoint with one failed sheet, unless `fields` differ."""
    shown = {"job_id": "a", "status": "running", "sheets": {"1": {"status": "failed"}}, **fields}
    return state(decode_checkpoint(json.dumps(shown).encode()))


@pytest.mark.parametrize(
    "value", [1e30, 10**30, 2**63, -1, True, "3", [1], {"a": [1]}, float("inf"), [[[]]]]
)
def test_count_of_another_type_or_out_of_range_counts_as_missing(value: object) -> None:
    sheet = {
        "status": "failed",
        "normal_attempts": value,
        "total_duration_seconds": value,
        "sheet_timeout_seconds": value,
    }
    shown = decode_state(
        sheets={"1": sheet},
        total_input_tokens=value,
        total_output_tokens=value,
        total_estimated_cost=value,
    )
    assert (shown.input_tokens, shown.output_tokens, shown.estimated_cost) == (None, None, None)
    only = shown.sheets[0]
    assert (only.attempt, only.work_s, only.timeout_s) == (None, None, None)


def test_cost_is_rounded() -> None:
    assert decode_state(total_estimated_cost=0.1 + 0.2).estimated_cost == 0.3
    assert decode_state(total_estimated_cost=1e-9).estimated_cost is None


def test_total_of_sheets_out_of_range_counts_as_missing() -> None:
    shown = decode_state(total_sheets=2**63, current_sheet=2**63)
    assert (shown.total_sheets, shown.current_sheet) == (1, None)


@pytest.mark.parametrize("value", [1e300, 10**30, -5, 0, True, "soon", [], {"at": 1}])
def test_time_of_another_type_or_out_of_range_counts_as_missing(value: object) -> None:
    shown = decode_state(
        sheets={"1": {"status": "waiting", "started_at": value, "rate_limit_expires_at": value}}
    )
    assert (shown.sheets[0].started_at, shown.sheets[0].waiting_until) == (None, None)


def test_error_code_is_text_and_cut() -> None:
    for value, code in (({"a": 1}, None), (7, None), ("x" * 1000, "x" * 300)):
        shown = decode_state(sheets={"1": {"status": "failed", "error_code": value}})
        assert shown.sheets[0].error_code == code


def test_hooks_of_another_shape_left_out_and_the_first_hundred_kept() -> None:
    others: list[object] = [None, "a", 7, {}, {"0": {}}, ["a", None, [1], 2]]
    for value in others:
        assert decode_state(hook_results=value).hooks == ()
    mixed = [{"hook_type": ["x"], "success": {}}, "a", {"hook_type": "run_job", "success": True}]
    odd, good = decode_state(hook_results=mixed).hooks
    assert (odd.hook_type, odd.success) == ("", False)
    assert (good.hook_type, good.success) == ("run_job", True)
    many = decode_state(hook_results=[{"hook_type": str(number)} for number in range(150)])
    assert [hook.hook_type for hook in many.hooks] == [str(number) for number in range(100)]


@pytest.mark.parametrize(
    ("status", "until"),
    [("waiting", 1.7e9), ("retry_scheduled", 1.7e9), ("completed", None), ("dispatched", None)],
)
def test_end_of_wait_only_while_sheet_waits(status: str, until: float | None) -> None:
    sheet = {"status": status, "rate_limit_expires_at": 1.7e9, "fire_at": 1.6e9}
    assert decode_state(sheets={"1": sheet}).sheets[0].waiting_until == until


def test_error_of_a_job_is_cut() -> None:
    long = "x" * (MAX_TEXT_CHARS + 1)
    failed = {"1": {"status": "failed", "error_message": long}}
    entry = RosterEntry("a", "failed", error_message=long)
    for shown in (
        decode_state(error_message=long),
        decode_state(sheets=failed),
        state(make_checkpoint(), entry),
    ):
        assert shown.error_message == long[:-1]
