"""Address of a server: an http or https URL, or a Unix socket."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import quote

from yarl import URL

from marianne_stream.errors import SettingsError

DEFAULT_URL = "http://127.0.0.1:8765"

EXPECTED_FORM = "http://HOST:PORT, https://HOST or unix:/PATH"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Address of a server: as the user wrote it, as a base URL, and perhaps as a Unix socket."""

    text: str
    base: URL
    socket_path: str | None = None

    @property
    def is_local(self) -> bool:
        """Return whether data that is sent there cannot leave this machine."""
        host = self.base.host or ""
        if self.socket_path is not None or host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    def url(self, path: str) -> URL:
        """Return the URL of an encoded path, which begins with a slash."""
        return URL(str(self.base).rstrip("/") + path, encoded=True)


def parse_server_address(text: str) -> ServerAddress:
    """Parse an address that a user wrote.

    Raises:
        SettingsError: the address is invalid, or contains a secret, which other users of the
            machine could read in the process list.
    """
    scheme, _, path = text.partition(":")
    if scheme == "unix":
        path = "/" + path.lstrip("/") if path.startswith("/") else path
        if not path or "\0" in path:
            raise SettingsError(f"the server's address must be {EXPECTED_FORM}, got {text!r}")
        return ServerAddress(text, URL("http://localhost"), path)
    try:
        url = URL(text)
        is_valid = url.scheme in ("http", "https") and bool(url.host) and bool(url.port)
    except ValueError:
        is_valid = False
    if not is_valid or url.query_string or url.fragment:
        raise SettingsError(f"the server's address must be {EXPECTED_FORM}, got {text!r}")
    if url.user is not None or url.password is not None:
        raise SettingsError(
            "the server's address must not contain a user or password: set a token with "
            "--token-file or MARIANNE_STREAM_TOKEN"
        )
    return ServerAddress(text.rstrip("/"), url)


def job_path(job_id: str, subpath: str = "") -> str:
    """Return the path of a job's endpoint, by its escaped id (`wire/job_ids.py`) and a subpath.

    Raises:
        SettingsError: the id is invalid.
    """
    if not job_id or "/" in job_id or "\0" in job_id:
        raise SettingsError(
            f"a job id must have at least one character, and no / or NUL; got {job_id!r}"
        )
    return "/api/jobs/" + quote(job_id, safe="") + subpath
