"""Where a server is, as a user writes it."""

import pytest

from marianne_stream.client.address import job_path, parse_server_address
from marianne_stream.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("http://127.0.0.1:8765", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:8765/", True),
        ("http://localhost:1", True),
        ("unix:/run/stream.sock", True),
        ("https://localhost.example.org", False),
        ("https://127.0.0.1.example.org", False),
        ("http://192.0.2.1:8765", False),
        ("http://0.0.0.0:8765", False),
    ],
)
def test_only_loopback_and_unix_sockets_are_this_machine(text: str, local: bool) -> None:  # noqa: FBT001
    assert parse_server_address(text).is_local is local


def test_a_path_of_a_proxy_stands_before_the_servers_own() -> None:
    address = parse_server_address("https://example.org/stream/")
    assert str(address.url("/api/jobs/a%2520b")) == "https://example.org/stream/api/jobs/a%2520b"


def test_a_unix_socket_may_be_written_with_slashes() -> None:
    for text in ("unix:/run/s.sock", "unix:///run/s.sock"):
        assert parse_server_address(text).socket_path == "/run/s.sock"


@pytest.mark.parametrize(
    "text",
    ["", "8765", "localhost:8765", "ftp://a", "http://", "http://a:b", "http://a?b", "unix:"],
)
def test_what_is_no_address_is_a_sentence_with_what_is_expected(text: str) -> None:
    with pytest.raises(SettingsError, match=r"must be http://HOST:PORT, .* got '") as caught:
        parse_server_address(text)
    assert repr(text) in str(caught.value)


def test_a_secret_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_server_address("https://me:secret@example.org")
    assert "secret" not in str(caught.value)


def test_a_job_id_is_encoded_whatever_it_holds() -> None:
    assert job_path("a b?#%é", "/logs") == "/api/jobs/a%20b%3F%23%25%C3%A9/logs"


@pytest.mark.parametrize("job_id", ["", "a/b", "a\0b"])
def test_what_can_be_no_job_id_is_a_sentence(job_id: str) -> None:
    with pytest.raises(SettingsError, match="a job's id holds"):
        job_path(job_id)
