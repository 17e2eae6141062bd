"""Tests of lines of the conductor's own log, in both formats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marianne_stream.wire.conductor_lines import parse_conductor_line


@pytest.mark.parametrize(
    ("line", "event", "job_ids"),
    [
        ('{"event": "job.submitted", "job_id": "fan"}', "job.submitted", ("fan",)),
        ('{"event": "x", "extra": {"job_id": "fan"}}', "x", ("fan",)),
        ('{"job_id": ["fan"], "extra": 3}', "", ()),
        (
            "2026-11-28T05:00:00Z [info     ] job.submitted  [daemon] job_id=fan pid=3",
            *("job.submitted", ("fan",)),
        ),
        (
            "2026-11-28 05:00:00 [\x1b[1minfo\x1b[0m] x.y \x1b[36mjob_id\x1b[0m=\x1b[35mfan\x1b[0m",
            *("x.y", ("fan",)),
        ),
        ("2026-11-28 05:00:00 [info     ] x extra={'a': 1, 'job_id': 'fan'}", "x", ("fan",)),
        ("2026-11-28 05:00:00 [info     ] x job_id='a job\\'s' y=1", "x", ("a job's",)),
        # A job id in a value is not a field of the line.
        ("2026-11-28 05:00:00 [info     ] x job_id=fan job_id=other", "x", ("other",)),
        ("2026-11-28 05:00:00 [info     ] x job_id=other msg='y job_id=fan z'", "x", ("other",)),
        ("2026-11-28 05:00:00 [info     ] x msg='job_id=fan'", "x", ()),
        ("no time job_id=fan", "", ()),
    ],
)
def test_parse_conductor_line_returns_event_and_job_ids(
    line: str, event: str, job_ids: tuple[str, ...]
) -> None:
    found = parse_conductor_line(line.encode())
    assert (found.event, found.job_ids) == (event, job_ids)


@given(st.binary())
def test_parse_conductor_line_accepts_any_bytes(line: bytes) -> None:
    parse_conductor_line(line)
    parse_conductor_line(b"2026-11-28T05:00:00Z [info ] job_id=" + line)
    parse_conductor_line(b'{"job_id": "' + line)
