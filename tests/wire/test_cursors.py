"""A cursor comes back as it was given, and anything else is none of ours."""

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
def test_a_cursor_is_read_as_it_was_written(
    cursor: StatusCursor | RosterCursor | TimelineCursor,
) -> None:
    assert type(cursor).parse(str(cursor)) == cursor
    assert all(kind.parse(str(cursor)) is None for kind in KINDS if kind is not type(cursor))


@given(st.text())
def test_any_other_text_is_no_cursor(text: str) -> None:
    assert all(kind.parse(text) is None for kind in KINDS)


@pytest.mark.parametrize("text", ["s-" + "0" * 10_000, "t-0123456789abcdef-" + "9" * 30, "s-\n"])
def test_a_cursor_of_another_size_is_no_cursor(text: str) -> None:
    assert all(kind.parse(text) is None for kind in KINDS)


def test_the_digest_is_the_same_in_every_process() -> None:
    assert state_digest(b"a state") == "2bbdf205f270b9fa7703a46e"
