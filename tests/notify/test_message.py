"""Messages: the text of a notification, and what is removed from it."""

from dataclasses import replace
from typing import get_args

import pytest

from marianne_stream.history.records import RunRecord, SheetRecord
from marianne_stream.notify.message import (
    JOB_TEXTS,
    SHEET_TEXTS,
    JobChange,
    clean_line,
    first_lines,
    make_away_notification,
    make_notification,
    make_summary,
)
from marianne_stream.notify.rules import Kind

RUN = "2026-11-23T22:14:15Z"
RECORD = RunRecord(
    *("nightly", RUN, 1000.0, "failed", 1000.0, 5000.0, 12, 4, "out of memory\nat line 3", 400.0),
    *(None, None, None, 5000.0),
)
SHEET = SheetRecord(
    *("nightly", RUN, 3, "failed", 2, 1000.0, 1500.0, True, False, None, "E1", "exit code 1"),
    *("cli", "1"),
)


def test_message_of_a_failed_job_says_what_and_where_and_how_long() -> None:
    change = JobChange("failed", "nightly", RUN)
    message = make_notification(
        change, RECORD, SHEET, "https://oak.example.org/stream/", now=6000.0
    )
    assert message.title == "nightly: failed"
    assert message.body.splitlines() == [
        "Job: nightly",
        "The job has failed.",
        "Sheet 3 has failed.",
        "Error:",
        "out of memory",
        "at line 3",
        "Sheets completed: 4 of 12",
        "Worked for: 1h 00m",
        "https://oak.example.org/stream/jobs/nightly",
        f"nightly@{RUN}:failed",
    ]


def test_stalled_message_says_how_long_the_job_has_worked_until_now() -> None:
    record = replace(RECORD, completed_at=None, changed_at=1001.0)
    change = JobChange("stalled", "nightly", RUN, 3, 1)
    assert "Worked for: 1h 16m" in make_notification(change, record, None, None, now=6000.0).body


def test_message_of_a_sheet_has_its_error_and_no_link_without_an_address() -> None:
    change = JobChange("sheet_failed", "nightly", RUN, 3, 2)
    message = make_notification(change, RECORD, SHEET, None, now=6000.0)
    assert message.title == "nightly: sheet 3 failed"
    assert message.body.splitlines()[1:4] == ["Sheet 3 has failed.", "Error:", "exit code 1"]
    assert "://" not in message.body
    assert message.body.splitlines()[-1] == message.key == f"nightly@{RUN}:sheet_failed:3:2"


def test_message_of_a_completed_job_has_no_error_of_an_earlier_end() -> None:
    message = make_notification(
        JobChange("completed", "nightly", RUN), RECORD, None, None, now=6000.0
    )
    assert "Error" not in message.body


def test_message_of_a_run_without_a_start_has_no_duration() -> None:
    record = replace(RECORD, started_at=None, error_message=None)
    message = make_notification(
        JobChange("cancelled", "nightly", RUN), record, None, None, now=6000.0
    )
    assert "Worked" not in message.body
    assert "Error" not in message.body


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (JobChange("paused", "a b@c/#1", RUN), f"a%20b%40c%2F%231@{RUN}:paused"),
        (JobChange("paused", "a", RUN, repeat=2), f"a@{RUN}:paused#2"),
        (JobChange("stalled", "a", RUN, 7, 1, 3), f"a@{RUN}:stalled:7:1#3"),
        (JobChange("waiting_for_person", r"\xff", RUN), f"%5Cxff@{RUN}:waiting_for_person"),
    ],
)
def test_key_has_the_encoded_job_and_the_number_of_a_repeat(change: JobChange, key: str) -> None:
    assert change.key == key


def test_every_kind_of_change_has_a_title() -> None:
    assert {*JOB_TEXTS, *SHEET_TEXTS, "conductor_away"} == set(get_args(Kind))
    for kind in JOB_TEXTS:
        assert make_notification(JobChange(kind, "a", RUN), RECORD, None, None, now=6000.0).title
    for kind in SHEET_TEXTS:
        message = make_notification(JobChange(kind, "a", RUN, 5, 1), RECORD, None, None, now=6000.0)
        assert "sheet 5" in message.title
        assert "Sheet 5" in message.body


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tab\tand \x1b[31mred\x1b[0m", "tab and red"),
        ("\x1b]0;title\x07text\x00\x07", "text"),
        ("a\u202eb\u2066c", "abc"),
        ("@here <@U123> <!channel> mail@example.org", None),
        ("  blank  ", "blank"),
        ("vector<int> [a](b) [c] (d)", "vector<\u200bint> [a]\u200b(b) [c] (d)"),
        (
            '<a href="https://evil.example">x</a>',
            '<\u200ba href="https://evil.example">x<\u200b/a>',
        ),
    ],
)
def test_untrusted_line_has_no_controls_and_mentions(text: str, shown: str | None) -> None:
    cleaned = clean_line(text)
    if shown is not None:
        assert cleaned == shown
    for mention in ("@here", "@U", "<!", "<@U", "@example"):
        assert mention not in cleaned


def test_error_is_cut_to_five_lines_of_300_characters() -> None:
    error = "\n\n".join(["x" * 1000, "short", *"cdefgh"])
    lines = first_lines(error)
    assert lines == ["Error:", "x" * 299 + "…", "short", "c", "d", "e"]
    assert first_lines("\r\n \x1b[0m\n") == []


def test_job_id_cannot_add_lines_or_mentions() -> None:
    job_id = "a\n@channel\x1b[1m" + "b" * 400
    message = make_notification(
        JobChange("completed", job_id, RUN), RECORD, None, "http://x", now=6000.0
    )
    assert "\n" not in message.title
    assert "@channel" not in message.title + message.body
    assert len(message.body.splitlines()) == 6


def test_message_about_the_conductor_and_summary_have_keys() -> None:
    away = make_away_notification(1000.5, "https://oak.example.org/")
    assert away.key == "conductor@1970-01-01T00:16:40Z:conductor_away"
    assert away.body.splitlines()[1:] == ["https://oak.example.org", away.key]
    summary = make_summary("1@2026-11-29T08Z:summary", {"failed": 9, "sheet_failed": 3}, None)
    assert summary.title == "12 more notifications"
    assert summary.body == "12 more: 9 failed, 3 sheet failed\n1@2026-11-29T08Z:summary"
