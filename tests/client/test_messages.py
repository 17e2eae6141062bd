"""Tests of messages about the source of state."""

from typing import Any

import pytest

from marianne_stream.client.messages import SourceReporter, StderrReporter, describe_source

FROM_REGISTRY = "the state is from the registry, not from the conductor, and may be out of date"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"source": "conductor", "live": True}, ""),
        ({"source": "redis", "live": True}, ""),
        ({"source": "json", "live": False}, ""),
        ({"source": "registry", "live": False}, FROM_REGISTRY),
        (
            {"source": "registry", "live": False, "detail": "All slots are in use."},
            f"All slots are in use; {FROM_REGISTRY}",
        ),
        (
            {"source": "none", "live": False},
            "the conductor is away; what is shown may be out of date",
        ),
        (
            {"source": "none", "live": False, "detail": "All slots are in use."},
            "All slots are in use; what is shown may be out of date",
        ),
    ],
)
def test_source_that_is_not_live_is_described(data: dict[str, Any], sentence: str) -> None:
    assert describe_source(data) == sentence


def test_change_of_the_source_is_reported_once() -> None:
    messages: list[str] = []
    reporter = SourceReporter(StderrReporter(messages.append))
    for live in (True, False, False, True, True):
        reporter.on_source_event({"source": "conductor" if live else "registry", "live": live})
    assert messages == [
        f"marianne-stream: {FROM_REGISTRY}",
        "marianne-stream: the conductor answers again",
    ]
