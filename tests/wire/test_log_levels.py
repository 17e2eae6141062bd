"""Tests of levels and times of log lines."""

from datetime import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marianne_stream.wire.log_levels import LEVEL_NAMES, LEVELS, parse_line_facts, parse_line_level

PIECES = st.sampled_from(
    [
        *(
            "2026-11-28",
            "T",
            " ",
            "05:00:00",
            ".123",
            ",9",
            "Z",
            "+01:00",
            "ERROR",
            "[info]",
            "warn",
        ),
        *(
            "level=",
            "{",
            "}",
            '"level"',
            '"time"',
            ":",
            "50",
            "1e999",
            "9" * 400,
            '"',
            ",",
            "\x1b[31m",
        ),
        *("\x1b", "\ufffd", "é", "[", "]", "13", "-", "null", "\\ud83c", "<", "=", "CRIT"),
    ]
)
TIMES = st.datetimes()


@given(st.one_of(st.text(), st.lists(PIECES, max_size=14).map("".join)))
def test_facts_of_any_line_are_valid(line: str) -> None:
    level, logged_at = parse_line_facts(line)
    assert level is None or level in LEVELS
    if logged_at is not None:
        datetime.fromisoformat(logged_at)


@given(
    name=st.sampled_from(sorted(LEVEL_NAMES)),
    casing=st.sampled_from([str.lower, str.upper, str.title]),
    form=st.sampled_from(
        [
            *("[{}] x", "[{}    ] x", "<{}> x", "level={} x", 'a lvl="{}" x', "severity={}"),
            *("2026-11-28T05:00:00Z [{}   ] x", "[2026-11-28 05:00:00,123] [{}] x"),
            *("\x1b[2m2026-11-28 05:00:00\x1b[0m [\x1b[31m{}\x1b[0m  ] x", "x" * 50 + " [{}]"),
        ]
    ),
)
def test_level_name_in_any_case_is_recognised(name: str, casing: type[str], form: str) -> None:
    assert parse_line_level(form.format(casing(name))) == LEVEL_NAMES[name]


@given(
    name=st.sampled_from(sorted(LEVEL_NAMES)),
    key=st.sampled_from(["level", "levelname", "lvl", "severity"]),
    casing=st.sampled_from([str.lower, str.upper, str.title]),
    message=st.text(),
)
def test_level_field_of_json_line_is_recognised(
    name: str, key: str, casing: type[str], message: str
) -> None:
    line = msgspec.json.encode({"event": message, key: casing(name)}).decode()
    assert parse_line_level(line) == LEVEL_NAMES[name]


@given(
    moment=TIMES,
    separator=st.sampled_from("T "),
    zone=st.sampled_from(["", "Z", "+05:30", "-0800", "+01"]),
    form=st.sampled_from(["{} x", "[{}] x", "{}", "INFO {} x", '{{"ts": "{}"}}']),
)
def test_time_at_head_of_line_is_recognised(
    moment: datetime, separator: str, zone: str, form: str
) -> None:
    text = moment.isoformat(sep=separator, timespec="microseconds") + zone
    logged_at = parse_line_facts(form.format(text)).logged_at
    assert logged_at is not None
    assert datetime.fromisoformat(logged_at) == datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("line", "level", "logged_at"),
    [
        ("2026-11-23T19:24:13.157562370 [info] line", "info", "2026-11-23T19:24:13.157562370"),
        ("[error    ] x", "error", None),
        ("\x1b[31mERROR \x1b[0m x", "error", None),
        ("WARNING:root:look out", "warning", None),
        ("2026-11-23 19:24:13,157 - n - ERROR - an INFO", "error", "2026-11-23T19:24:13.157"),
        ("INFO 2026-11-23 19:24:13 an ERROR", "info", "2026-11-23T19:24:13"),
        ("2026/11/23 19:24:13 [notice] 7#7: x", "info", "2026-11-23T19:24:13"),
        ("2026-11-23T19:24:13+0100 x", None, "2026-11-23T19:24:13+01:00"),
        ("2026-13-23T19:24:13 ERROR", "error", None),
        ("time=1 level=warn msg=x", "warning", None),
        ("an error occurred", None, None),
        ("MISINFORMATION, HTTP_ERROR and ERROR_CODE", None, None),
        ("x" * 100 + " ERROR", None, None),
        ("2026-11-23 19:24:13 " + "x" * 90 + " ERROR", "error", "2026-11-23T19:24:13"),
        ("Since 2026-11-23 19:24:13 nothing", None, None),
        ("", None, None),
        ('{"event": "x ERROR", "level": "debug"}', "debug", None),
        ('{"level": 50, "time": 1531171074631}', "error", "2018-07-09T21:17:54.631Z"),
        ('{"level": 35}', "info", None),
        ('{"level": 7}', None, None),
        ('{"level": true, "levelno": 50}', "critical", None),
        ('{"levelno": 25}', "info", None),
        ('{"level": "x", "severity": "ALERT"}', "critical", None),
        ('{"ts": 1531171074.631}', None, "2018-07-09T21:17:54.631Z"),
        ('{"time": 12.5}', None, None),
        ('{"event": "no level", "message": "ERROR"}', None, None),
        ('{"cut": "ERROR', "error", None),
    ],
)
def test_parse_line_facts_returns_level_and_time(
    line: str, level: str | None, logged_at: str | None
) -> None:
    assert parse_line_facts(line) == (level, logged_at)


def test_non_ascii_digits_are_not_a_time() -> None:
    logged_at = parse_line_facts("2026-01-01 10:00:00.\u0661\u0662\u0663Z x").logged_at
    assert logged_at is None or logged_at.isascii()
