"""Tests of redacting Redis URLs."""

import pytest

from marianne_stream.wire.redis_urls import redact_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:Secret@here", "redis://***@here"),
        ("rediss+sentinel://u:Sec/r@t@a,b/main", "rediss+sentinel://***@a,b/main"),
        ("redis://here?password=Secret&db=1", "redis://here?password=***&db=1"),
        (
            "redis+sentinel://a/main?sentinel_password=Secret",
            "redis+sentinel://a/main?sentinel_password=***",
        ),
    ],
)
def test_redact_url_hides_credentials(url: str, shown: str) -> None:
    assert redact_url(url) == shown
