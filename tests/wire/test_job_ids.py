"""Tests of job ids from any file name."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marianne_stream.wire import job_ids


def test_escape_of_invalid_utf8_round_trips() -> None:
    from_conductor = os.fsdecode(b"caf\xe9")
    assert job_ids.escape(from_conductor) == r"caf\xe9"
    assert job_ids.unescape(r"caf\xe9") == from_conductor


def test_path_segment_with_byte_or_escape_gives_same_job_id() -> None:
    assert (
        job_ids.from_path_segment("caf%E9") == job_ids.from_path_segment(r"caf%5Cxe9") == r"caf\xe9"
    )


def test_path_segment_decodes_percent_encoding() -> None:
    assert job_ids.from_path_segment("a%20b%3F%23%25%7B%7D") == "a b?#%{}"
    assert job_ids.from_path_segment("%C3%A9%E2%9C%93") == "é✓"


@pytest.mark.parametrize("segment", ["", "a%2Fb", "a%00b"])
def test_path_segment_with_slash_or_nul_is_rejected(segment: str) -> None:
    with pytest.raises(ValueError, match="neither / nor NUL"):
        job_ids.from_path_segment(segment)


@given(st.binary(min_size=1).filter(lambda name: rb"\x" not in name))
def test_unescape_reverts_escape_of_any_file_name(name: bytes) -> None:
    from_conductor = os.fsdecode(name)
    escaped = job_ids.escape(from_conductor)
    assert escaped.encode()
    assert job_ids.unescape(escaped) == from_conductor
