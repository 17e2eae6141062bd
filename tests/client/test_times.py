"""Tests of parsing and formatting times."""

import time

import pytest

from marianne_stream.client.times import (
    format_date_time,
    format_near_time,
    format_time,
    parse_iso_time,
    parse_since,
)
from marianne_stream.common.durations import format_duration


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0s"),
        (0.9, "0s"),
        (59.9, "59s"),
        (60, "1m 00s"),
        (3599, "59m 59s"),
        (3720, "1h 02m"),
        (86399, "23h 59m"),
        (86400, "1d 00h"),
        (8_640_000, "100d 00h"),
    ],
)
def test_format_duration_shows_two_largest_units(seconds: float, shown: str) -> None:
    assert format_duration(seconds) == shown


def test_times_are_formatted_in_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        epoch_s = parse_iso_time("2026-11-23T22:14:15.888Z")
        assert epoch_s is not None
        assert format_date_time(epoch_s) == "2026-11-24 03:44:15"
        assert format_time(epoch_s) == "03:44:15"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_time_of_another_day_has_its_date() -> None:
    now_s = time.mktime((2026, 11, 28, 12, 0, 0, 0, 0, -1))
    assert format_near_time(now_s - 3600, now_s) == "11:00:00"
    assert format_near_time(now_s - 24 * 3600, now_s) == "2026-11-27 12:00:00"
    assert format_near_time(now_s + 24 * 3600, now_s) == "2026-11-29 12:00:00"
    assert format_near_time(now_s, None) == "2026-11-28 12:00:00"
    assert format_near_time(None, now_s) == ""


@pytest.mark.parametrize("text", [None, "", "yesterday", "9999-99-99"])
def test_parse_iso_time_returns_none_for_invalid_text(text: str | None) -> None:
    assert parse_iso_time(text) is None


def test_format_time_outside_calendar_is_empty() -> None:
    assert format_time(1e30) == ""


@pytest.mark.parametrize(
    ("text", "seconds_ago"),
    [("10m", 600), ("2h", 7200), ("1d", 86400), ("1h30m", 5400), ("45s", 45), ("1w", 604800)],
)
def test_parse_since_subtracts_duration_from_now(text: str, seconds_ago: float) -> None:
    assert parse_since(text, 2_000_000.0) == 2_000_000.0 - seconds_ago


@pytest.mark.parametrize(
    ("text", "moment_s"),
    [("1970-01-02T00:00Z", 86400.0), ("1970-01-02 01:00:00.5+01:00", 86400.5)],
)
def test_parse_since_accepts_iso_8601(text: str, moment_s: float) -> None:
    assert parse_since(text, 0.0) == moment_s


@pytest.mark.parametrize("text", ["", "10", "m", "10m ago", "yesterday", "-1h", "2026-13-01"])
def test_parse_since_rejects_other_text(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration as 10m, 2h or 1d"):
        parse_since(text, 0.0)
