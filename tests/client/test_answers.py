"""What a terminal reads of an answer is what a server sends."""

import msgspec
import pytest

from marianne_stream.client import api_models
from marianne_stream.schemas import (
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
        (api_models.JobBody, JobSummary),
        (api_models.JobPageBody, JobPage),
        (api_models.JobTimesBody, JobDetail),
        (api_models.StatusBody, JobStatusData),
        (api_models.RosterBody, RosterData),
        (api_models.LogLineBody, LogData),
        (api_models.ErrorBody, ErrorData),
        (api_models.TimelineEventBody, TimelineEventData),
    ],
)
def test_every_field_is_one_that_the_server_sends(
    read: type[msgspec.Struct], sent: type[Payload]
) -> None:
    assert set(read.__struct_fields__) <= set(sent.model_fields)


def test_what_a_newer_server_says_besides_is_passed_over() -> None:
    line = msgspec.json.decode(b'{"line":"a","colour":"red"}', type=api_models.LogLineBody)
    assert line.line == "a"
