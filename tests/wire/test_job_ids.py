"""Any file name can be a job id, and every id can be shown and asked for."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marianne_stream.wire import job_ids


def test_a_byte_that_is_not_utf8_has_a_written_form() -> None:
    from_conductor = os.fsdecode(b"caf\xe9")
    assert job_ids.escape(from_conductor) == r"caf\xe9"
    assert job_ids.unescape(r"caf\xe9") == from_conductor


def test_in_a_path_the_byte_and_its_written_form_are_the_same_job() -> None:
    assert (
        job_ids.from_path_segment("caf%E9") == job_ids.from_path_segment(r"caf%5Cxe9") == r"caf\xe9"
    )


def test_in_a_path_any_character_can_be_encoded() -> None:
    assert job_ids.from_path_segment("a%20b%3F%23%25%7B%7D") == "a b?#%{}"
    assert job_ids.from_path_segment("%C3%A9%E2%9C%93") == "é✓"


@pytest.mark.parametrize("segment", ["", "a%2Fb", "a%00b"])
def test_what_no_file_name_holds_is_refused(segment: str) -> None:
    with pytest.raises(ValueError, match="neither / nor NUL"):
        job_ids.from_path_segment(segment)


@given(st.binary(min_size=1).filter(lambda name: rb"\x" not in name))
def test_every_file_name_comes_back_from_its_written_form(name: bytes) -> None:
    from_conductor = os.fsdecode(name)
    written = job_ids.escape(from_conductor)
    assert written.encode()
    assert job_ids.unescape(written) == from_conductor
