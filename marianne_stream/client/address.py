"""Where the server is: an http or https address, or a Unix socket.

It asks nobody; whether there is a server shows when it is connected to.
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import quote

from yarl import URL

from marianne_stream.errors import SettingsError

DEFAULT_URL = "http://127.0.0.1:8765"

EXPECTED_FORM = "http://HOST:PORT, https://HOST or unix:/PATH"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A server's address.

    Attributes:
        text: as it was given.
        base: what its paths are below.
        socket_path: the socket to connect to, where it is one.
    """

    text: str
    base: URL
    socket_path: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether what is sent there cannot leave this machine."""
        host = self.base.host or ""
        if self.socket_path is not None or host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    def url(self, path: str) -> URL:
        """A path of the server, which begins with a slash and is encoded."""
        return URL(str(self.base).rstrip("/") + path, encoded=True)


def parse_server_address(text: str) -> ServerAddress:
    """An address as a user writes it.

    Raises:
        SettingsError: it is none, or holds a secret that every user of the machine could read.
    """
    scheme, _, path = text.partition(":")
    if scheme == "unix":
        path = "/" + path.lstrip("/") if path.startswith("/") else path
        if not path or "\0" in path:
            raise SettingsError(f"the server's address must be {EXPECTED_FORM}, got {text!r}")
        return ServerAddress(text, URL("http://localhost"), path)
    try:
        url = URL(text)
        usable = url.scheme in ("http", "https") and bool(url.host) and bool(url.port)
    except ValueError:
        usable = False
    if not usable or url.query_string or url.fragment:
        raise SettingsError(f"the server's address must be {EXPECTED_FORM}, got {text!r}")
    if url.user is not None or url.password is not None:
        raise SettingsError(
            "the server's address must hold no user and no password: a token comes from a file or "
            "from the environment"
        )
    return ServerAddress(text.rstrip("/"), url)


def job_path(job_id: str, subpath: str = "") -> str:
    """The path of a job, or of something of it.

    Args:
        job_id: its id in its written form (`wire/job_ids.py`).
        subpath: what of it, beginning with a slash.

    Raises:
        SettingsError: no job can have this id.
    """
    if not job_id or "/" in job_id or "\0" in job_id:
        raise SettingsError(
            f"a job's id holds any characters but / and NUL, and at least one; got {job_id!r}"
        )
    return "/api/jobs/" + quote(job_id, safe="") + subpath
