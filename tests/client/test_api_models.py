"""Tests of the client's models against the server's schemas."""

import msgspec
import pytest

from marianne_stream.client import api_models
from marianne_stream.schemas.event_schemas import TimelineEventData
from marianne_stream.schemas.job_schemas import (
    JobDetail,
    JobPage,
    JobStatusData,
    JobSummary,
    RosterData,
)
from marianne_stream.schemas.log_schemas import LogData
from marianne_stream.schemas.payload import Payload
from marianne_stream.schemas.server_schemas import ErrorData, ReadyData


@pytest.mark.parametrize(
    ("read", "sent"),
    [
        (api_models.JobBody, JobSummary),
        (api_models.JobPageBody, JobPage),
        (api_models.JobDetailBody, JobDetail),
        (api_models.StatusBody, JobStatusData),
        (api_models.RosterBody, RosterData),
        (api_models.LogLineBody, LogData),
        (api_models.ErrorBody, ErrorData),
        (api_models.ReadyBody, ReadyData),
        (api_models.TimelineEventBody, TimelineEventData),
    ],
)
def test_model_fields_exist_in_server_schemas(
    read: type[msgspec.Struct], sent: type[Payload]
) -> None:
    assert set(read.__struct_fields__) <= set(sent.model_fields)


def test_unknown_fields_are_ignored() -> None:
    line = msgspec.json.decode(b'{"line":"a","colour":"red"}', type=api_models.LogLineBody)
    assert line.line == "a"
