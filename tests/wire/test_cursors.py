"""Tests of cursors: they round-trip, and anything else is invalid."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marianne_stream.wire.cursors import RosterCursor, StatusCursor, TimelineCursor, state_digest

KINDS = (StatusCursor, RosterCursor, TimelineCursor)


@pytest.mark.parametrize(
    "cursor",
    [
        StatusCursor("s", state_digest(b"a")),
        StatusCursor("f", state_digest(b"a")),
        RosterCursor(state_digest(b"b")),
        TimelineCursor("0123456789abcdef", 42),
    ],
    ids=str,
)
def test_cursor_round_trips_and_fits_no_other_kind(
    cursor: StatusCursor | RosterCursor | TimelineCursor,
) -> None:
    assert type(cursor).parse(str(cursor)) == cursor
    assert all(kind.parse(str(cursor)) is None for kind in KINDS if kind is not type(cursor))


@given(st.text())
def test_parse_any_other_text_returns_none(text: str) -> None:
    assert all(kind.parse(text) is None for kind in KINDS)


@pytest.mark.parametrize("text", ["s-" + "0" * 10_000, "t-0123456789abcdef-" + "9" * 30, "s-\n"])
def test_parse_cursor_of_wrong_size_returns_none(text: str) -> None:
    assert all(kind.parse(text) is None for kind in KINDS)


def test_state_digest_is_stable() -> None:
    assert state_digest(b"a state") == "2bbdf205f270b9fa7703a46e"
