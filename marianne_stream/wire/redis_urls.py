"""URLs of Redis: what they name, and how they are shown without what is secret in them.

A URL names one server (redis://, rediss:// by TLS, unix://), or the Sentinels that know where it is
(redis+sentinel://HOST:PORT,…/SERVICE), for which there is no standard form. Pure. It must not know
who connects.
"""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

REDIS_URL = re.compile(r"(?:unix|rediss?(?:\+sentinel)?)://\S+")

# Everything up to the last `@` before the path may be a password: one with a slash or an `@` that
# somebody forgot to quote is not to be shown, either.
CREDENTIALS = re.compile(r"^([a-z+]+://).*@", re.DOTALL)
SECRET_PARAMETER = re.compile(r"([?&;][a-z_]*(?:password|username)=)[^&;\s]*", re.IGNORECASE)

FOR_THE_SERVER = {"username", "password", "db"}

SENTINEL_PORT = 26379

Kind = Literal["server", "sentinel"]
Address = tuple[str, int]


def masked(url: str) -> str:
    """A URL as it may stand in a log: `***` in the place of who signs in, and with what."""
    return SECRET_PARAMETER.sub(r"\1***", CREDENTIALS.sub(r"\1***@", url))


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """What a URL names.

    Attributes:
        kind: one server, or Sentinels.
        addresses: of the Sentinels; none for one server.
        service: what the Sentinels call the server.
    """

    kind: Kind
    addresses: tuple[Address, ...] = ()
    service: str = ""
    _scheme: str = ""
    _who: str = ""
    _rest: str = ""
    _sentinels_who: str = ""
    _sentinels_rest: str = ""

    @classmethod
    def parse(cls, url: str) -> "RedisUrl":
        """What a URL names.

        Raises:
            ValueError: it cannot be understood; the message may hold a part of it.
        """
        parts = urlsplit(url)
        scheme, _, kind = parts.scheme.partition("+")
        if parts.fragment:
            raise ValueError("a # that is no %23 ends a URL")
        if not kind:
            return cls("server")
        who, at, hosts = parts.netloc.rpartition("@")
        addresses = tuple(address(host, SENTINEL_PORT) for host in hosts.split(","))
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        service, _, database = parts.path.strip("/").partition("/")
        if kind != "sentinel" or not service or (database and not database.isdecimal()):
            raise ValueError(f"the path {parts.path!r} names no service of Sentinels")
        theirs = [query.pop(f"sentinel_{name}", "") for name in ("username", "password")]
        # What is for the server is none of the Sentinels' business.
        own = {name: value for name, value in query.items() if name not in FOR_THE_SERVER}
        return cls(
            "sentinel",
            addresses,
            unquote(service),
            scheme,
            who + at,
            f"/{database}{options(query)}",
            ":".join(quote(word, safe="") for word in theirs) + "@" if any(theirs) else "",
            options(own),
        )

    def server_at(self, where: Address) -> str:
        """The URL of the server that is there."""
        return f"{self._scheme}://{self._who}{shown(where)}{self._rest}"

    def sentinel_at(self, where: Address) -> str:
        """The URL of the Sentinel that is there."""
        return f"{self._scheme}://{self._sentinels_who}{shown(where)}{self._sentinels_rest}"


def options(query: dict[str, str]) -> str:
    """A query as the end of a URL."""
    return f"?{urlencode(query)}" if query else ""


def address(text: str, default_port: int) -> Address:
    """A host, and its port, where one is named."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.port == 0:
        raise ValueError(f"{text!r} is no host, or has no port that can be")
    return parts.hostname, parts.port or default_port


def shown(where: Address) -> str:
    """An address as it stands in a URL."""
    host, port = where
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
