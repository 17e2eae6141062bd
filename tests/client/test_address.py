"""Tests of server addresses and job paths."""

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
def test_is_local_only_for_loopback_and_unix_sockets(text: str, local: bool) -> None:  # noqa: FBT001
    assert parse_server_address(text).is_local is local


def test_url_keeps_path_prefix_of_proxy() -> None:
    address = parse_server_address("https://example.org/stream/")
    assert str(address.url("/api/jobs/a%2520b")) == "https://example.org/stream/api/jobs/a%2520b"


def test_unix_socket_address_with_or_without_slashes() -> None:
    for text in ("unix:/run/s.sock", "unix:///run/s.sock"):
        assert parse_server_address(text).socket_path == "/run/s.sock"


@pytest.mark.parametrize(
    "text",
    ["", "8765", "localhost:8765", "ftp://a", "http://", "http://a:b", "http://a?b", "unix:"],
)
def test_invalid_address_error_names_expected_form(text: str) -> None:
    with pytest.raises(SettingsError, match=r"must be http://HOST:PORT, .* got '") as caught:
        parse_server_address(text)
    assert repr(text) in str(caught.value)


def test_address_with_password_is_rejected_without_repeating_it() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_server_address("https://me:secret@example.org")
    assert "secret" not in str(caught.value)


def test_job_path_encodes_job_id() -> None:
    assert job_path("a b?#%é", "/logs") == "/api/jobs/a%20b%3F%23%25%C3%A9/logs"


@pytest.mark.parametrize("job_id", ["", "a/b", "a\0b"])
def test_invalid_job_id_is_rejected(job_id: str) -> None:
    with pytest.raises(SettingsError, match="a job id must have at least one character"):
        job_path(job_id)
