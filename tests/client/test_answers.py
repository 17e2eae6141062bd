"""What a terminal reads of an answer is what a server sends."""

import msgspec
import pytest

from marianne_stream.client import answers
from marianne_stream.payloads import (
    ErrorData,
    JobDetail,
    JobPage,
    JobStatusData,
    JobSummary,
    LogData,
    Payload,
    RosterData,
    TimelineEventData,
)


@pytest.mark.parametrize(
    ("read", "sent"),
    [
        (answers.JobBody, JobSummary),
        (answers.JobPageBody, JobPage),
        (answers.JobTimesBody, JobDetail),
        (answers.StatusBody, JobStatusData),
        (answers.RosterBody, RosterData),
        (answers.LogLineBody, LogData),
        (answers.ErrorBody, ErrorData),
        (answers.TimelineEventBody, TimelineEventData),
    ],
)
def test_every_field_is_one_that_the_server_sends(
    read: type[msgspec.Struct], sent: type[Payload]
) -> None:
    assert set(read.__struct_fields__) <= set(sent.model_fields)


def test_what_a_newer_server_says_besides_is_passed_over() -> None:
    line = msgspec.json.decode(b'{"line":"a","colour":"red"}', type=answers.LogLineBody)
    assert line.line == "a"
