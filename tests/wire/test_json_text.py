"""Tests of repairing JSON in pieces."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marianne_stream.wire import job_ids, json_text

TEXT = st.lists(
    st.sampled_from(("\\", '"', "\udc80", "\udcff", "\ud83d", "😀", "NaN", "-Infinity", "é", "a")),
    max_size=30,
).map("".join)
VALUES = st.lists(st.one_of(TEXT, st.sampled_from((float("nan"), float("-inf"), 1, None))))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUES)
def test_repair_in_small_pieces_equals_repair_in_one(
    monkeypatch: pytest.MonkeyPatch, values: list[Any]
) -> None:
    data = json.dumps(values).encode()
    found = []
    for piece_bytes in (20, 33, 10**6):
        monkeypatch.setattr(json_text, "PIECE_BYTES", piece_bytes)
        found.append(json_text.decode(data, list[Any]))
    assert found[0] == found[1] == found[2]
    for value, read in zip(values, found[0], strict=True):
        if not isinstance(value, str):
            assert read == (None if isinstance(value, float) else value)
        elif value.isascii() or "\ud83d" not in value:
            assert read == job_ids.escape(value)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (rb"\uDCE9", r"\xe9"),
        (rb"\\udce9", r"\udce9"),
        (rb"\ud83d\ude00\udce9", r"😀\xe9"),
        (rb"\ud83d\udce9", "\ud83d\udce9".encode("utf-16", "surrogatepass").decode("utf-16")),
        (rb"\ud83d\ud83d\ude00", "\ufffd😀"),
        (rb"\ud800 \udfff", "\ufffd \ufffd"),
    ],
)
def test_lone_surrogates_at_any_offset_are_replaced(text: bytes, read: str) -> None:
    for before in range(json_text.PIECE_BYTES - 40, json_text.PIECE_BYTES + 4):
        data = b'["' + b"a" * before + text + b'\xff"]'
        assert json_text.decode(data, list[str]) == ["a" * before + read + "\ufffd"]


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
def test_non_finite_numbers_at_any_offset_become_null(number: bytes) -> None:
    for before in range(json_text.PIECE_BYTES - 40, json_text.PIECE_BYTES + 4):
        data = b'["' + b"a" * before + rb'\"NaN",' + number + b',"' + number + b'"]'
        assert json_text.decode(data, list[str | None])[1:] == [None, number.decode()]
