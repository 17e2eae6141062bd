"""URLs of Redis: what they name, and what is shown of them."""

import pytest

from marianne_stream.wire.redis_urls import RedisUrl, masked


def test_sentinels_are_named_with_their_service_and_have_their_own_password() -> None:
    url = "rediss+sentinel://u:p@here,[::1]:7/main/3?ssl_ca_certs=%2Fca&sentinel_password=a%2Fb"
    found = RedisUrl.parse(url)
    assert (found.kind, found.service) == ("sentinel", "main")
    assert found.addresses == (("here", 26379), ("::1", 7))
    assert found.server_at(("there", 1)) == "rediss://u:p@there:1/3?ssl_ca_certs=%2Fca"
    assert found.sentinel_at(("::1", 7)) == "rediss://:a%2Fb@[::1]:7?ssl_ca_certs=%2Fca"


def test_what_is_for_the_server_is_not_told_to_sentinels() -> None:
    found = RedisUrl.parse("redis+sentinel://here/main?password=p&db=3&socket_keepalive=yes")
    assert found.server_at(("there", 1)) == (
        "redis://there:1/?password=p&db=3&socket_keepalive=yes"
    )
    assert found.sentinel_at(("here", 2)) == "redis://here:2?socket_keepalive=yes"


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
def test_what_is_secret_is_not_shown(url: str, shown: str) -> None:
    assert masked(url) == shown
