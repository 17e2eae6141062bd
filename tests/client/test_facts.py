"""Tests of facts that several commands show."""

import pytest
from rich.text import Text

from marianne_stream.client.api_models import WaitingBody
from marianne_stream.client.facts import (
    format_amounts,
    format_span,
    format_stalled,
    format_wait,
    print_facts,
    show_command,
)
from marianne_stream.client.output import Output
from tests.support.screens import Screen

START, END = "1970-01-01T00:00:10Z", "1970-01-01T00:01:00Z"


@pytest.mark.parametrize(
    ("status", "completed_at", "now_s", "shown"),
    [
        ("running", None, 25.0, "15s"),
        ("paused", None, 25.0, "15s"),
        ("running", None, None, ""),
        ("completed", END, 999.0, "50s"),
        ("completed", END, None, "50s"),
        *((status, None, 999.0, "") for status in ("completed", "failed", "cancelled")),
        *((status, None, 999.0, "") for status in ("stopped", "skipped")),
    ],
)
def test_duration_of_what_has_ended_needs_an_end(
    status: str, completed_at: str | None, now_s: float | None, shown: str
) -> None:
    assert format_span(status, START, completed_at, now_s) == shown
    assert format_span(status, None, completed_at, now_s) == ""


@pytest.mark.parametrize(
    ("dollars", "shown"),
    [
        (0.003, "less than 0.01 US dollars (estimated)"),
        (0.01, "0.01 US dollars (estimated)"),
        (1.5, "1.50 US dollars (estimated)"),
        (None, ""),
    ],
)
def test_cost_is_not_shown_as_zero(dollars: float | None, shown: str) -> None:
    assert format_amounts(dollars, None, None) == shown


def test_stalled_sheets_are_named_up_to_a_limit() -> None:
    assert format_stalled([]) == ""
    assert format_stalled([3]) == "no sign of life from sheet 3"
    assert format_stalled(range(1, 21)).endswith("from sheets 1, 2, 3, 4, 5, 6, 7, 8 and 12 more")


def test_wait_until_another_day_has_its_date() -> None:
    waiting = WaitingBody("A limit\nis reached.", until="2099-11-28T12:00:00Z")
    assert format_wait(waiting, 0.0).startswith("A limit is reached. Until 2099-11-2")
    assert format_wait(WaitingBody("It is paused."), 0.0) == "It is paused."


def test_command_quotes_the_id_for_a_shell() -> None:
    assert show_command("nightly") == "marianne-stream show nightly"
    assert show_command("two words") == "marianne-stream show 'two words'"


def test_only_the_names_of_facts_are_dim() -> None:
    output = Output(screen := Screen(), environ={"TERM": "xterm"})
    print_facts(output, [("job", Text("tide")), ("status", Text("failed", style="fault"))])
    assert screen.getvalue().splitlines() == [
        "\x1b[2mjob     \x1b[0mtide",
        "\x1b[2mstatus  \x1b[0m\x1b[31mfailed\x1b[0m",
    ]
