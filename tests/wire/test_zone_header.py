"""Tests of the header with the offset of the server's local time."""

from datetime import datetime

import pytest

from marianne_stream.wire.zone_header import format_zone, parse_zone


def test_zone_is_that_of_local_time() -> None:
    zone = parse_zone(format_zone())
    assert zone is not None
    assert zone.utcoffset(None) == datetime.now().astimezone().utcoffset()


@pytest.mark.parametrize("offset", ["", "01:00", "+99:00", "CET"])
def test_invalid_offset_gives_no_zone(offset: str) -> None:
    assert parse_zone(offset) is None
