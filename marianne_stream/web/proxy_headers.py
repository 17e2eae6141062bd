"""Who asks, seen through the proxies that are trusted to say so.

It must not know what is asked for, or who may.
"""

import asyncio
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from aiohttp import web

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

# A client on a Unix socket has no address; this is what stands for all of them.
UNIX_PEER = "unix"

# One who has an IPv6 address has 2^64 of them (RFC 6177 section 2).
IPV6_PREFIX_BITS = 64


# More than the longest address with its zone (RFC 4007 section 11): what is longer is none.
MAX_HOP_CHARS = 64

# Reading an address takes as long as a tenth of a request: the last ones are remembered.
CACHE_SIZE = 4096


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """Who asks.

    Attributes:
        address: the client's address; `unix` on a Unix socket.
        secure: whether the request came by https.
    """

    address: str
    secure: bool

    @property
    def rate_limit_key(self) -> str:
        """What stands for the client where clients are counted."""
        return make_rate_limit_key(self.address)


class TrustedProxies:
    """The proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.

    Args:
        trusted: networks or addresses, and `unix` for whoever connects on a Unix socket.
    """

    def __init__(self, trusted: Iterable[str]) -> None:
        words = set(trusted)
        self._trusts_unix = UNIX_PEER in words
        self._networks = tuple(ipaddress.ip_network(word) for word in words - {UNIX_PEER})

    def client_info(self, request: web.Request) -> ClientInfo:
        """Who asks: the last address that no trusted proxy has."""
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
                # Nothing, or no address: what stands before it was not written by our proxy.
                break
            peer = str(address)
            if not self.is_trusted(peer):
                break
        return intern_client(peer, secure=secure)

    def is_trusted(self, peer: str) -> bool:
        """Whether who has this address is believed."""
        if peer == UNIX_PEER:
            return self._trusts_unix
        address = parse_ip(peer)
        return address is not None and any(address in network for network in self._networks)


def peer_address(transport: asyncio.BaseTransport | None) -> str:
    """The address at the other end of a connection."""
    peername = transport.get_extra_info("peername") if transport is not None else None
    if not isinstance(peername, tuple):
        return UNIX_PEER
    return str(parse_ip(str(peername[0])) or peername[0])


@lru_cache(maxsize=CACHE_SIZE)
def intern_client(address: str, *, secure: bool) -> ClientInfo:
    """One object for all requests of one visitor: each of ten thousand streams keeps its own."""
    return ClientInfo(address, secure)


@lru_cache(maxsize=CACHE_SIZE)
def make_rate_limit_key(text: str) -> str:
    """An address as it is counted; what is none as it is."""
    address = parse_ip(text)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((address, IPV6_PREFIX_BITS), strict=False))
    return text


@lru_cache(maxsize=CACHE_SIZE)
def parse_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address, None where it is none. One of IPv4 in the form of IPv6 is the one of IPv4."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
