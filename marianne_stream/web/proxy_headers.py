"""Address and scheme of the client, taken from the headers of trusted proxies."""

import asyncio
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from aiohttp import web

# Stands for the address of a client on a Unix socket.
UNIX_PEER = "unix"

# A client with an IPv6 address has a /64 network of them (RFC 6177 section 2).
IPV6_PREFIX_BITS = 64

# Longer than any address with its zone (RFC 4007 section 11).
MAX_HOP_CHARS = 64

# Number of parsed addresses that are cached: parsing one takes a tenth of a request's time.
CACHE_SIZE = 4096


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """Client of a request; its address is `unix` on a Unix socket."""

    address: str
    secure: bool

    @property
    def rate_limit_key(self) -> str:
        """The key by which its streams, connections and failures are counted."""
        return make_rate_limit_key(self.address)


class TrustedProxies:
    """Proxies whose X-Forwarded-For and X-Forwarded-Proto are used.

    Args:
        trusted: networks or addresses, and `unix` for all clients of a Unix socket.
    """

    def __init__(self, trusted: Iterable[str]) -> None:
        words = set(trusted)
        self._trusts_unix = UNIX_PEER in words
        self._networks = tuple(ipaddress.ip_network(word) for word in words - {UNIX_PEER})

    def client_info(self, request: web.Request) -> ClientInfo:
        """Return the client: the last address in the headers that is not a trusted proxy."""
        peer = peer_address(request.transport)
        secure = request.secure
        if not self.is_trusted(peer):
            return intern_client(peer, secure=secure)
        protocols = request.headers.getall("X-Forwarded-Proto", [])
        if protocols:
            secure = protocols[-1].rpartition(",")[2].strip().lower() == "https"
        hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
        for hop in map(str.strip, reversed(hops)):
            address = parse_ip(hop) if len(hop) <= MAX_HOP_CHARS else None
            if address is None:
                # Empty or invalid: the trusted proxy did not write what precedes it.
                break
            peer = str(address)
            if not self.is_trusted(peer):
                break
        return intern_client(peer, secure=secure)

    def is_trusted(self, peer: str) -> bool:
        """Return whether an address is that of a trusted proxy."""
        if peer == UNIX_PEER:
            return self._trusts_unix
        address = parse_ip(peer)
        return address is not None and any(address in network for network in self._networks)


def peer_address(transport: asyncio.BaseTransport | None) -> str:
    """Return the address at the other end of a connection."""
    peername = transport.get_extra_info("peername") if transport is not None else None
    if not isinstance(peername, tuple):
        return UNIX_PEER
    return str(parse_ip(str(peername[0])) or peername[0])


@lru_cache(maxsize=CACHE_SIZE)
def intern_client(address: str, *, secure: bool) -> ClientInfo:
    """Return one object for all requests of a client: each of ten thousand streams keeps it."""
    return ClientInfo(address, secure)


@lru_cache(maxsize=CACHE_SIZE)
def make_rate_limit_key(text: str) -> str:
    """Return the rate-limit key of an address: its /64 network for IPv6, else the text itself."""
    address = parse_ip(text)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((address, IPV6_PREFIX_BITS), strict=False))
    return text


@lru_cache(maxsize=CACHE_SIZE)
def parse_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse an IP address; None if it is invalid. IPv4-mapped IPv6 is returned as IPv4."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
