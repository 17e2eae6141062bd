"""Where Redis is: at one address, where Sentinels say, or at the node of a cluster that has a key.

In the last two it may be elsewhere after a fault, so whoever begins anew looks first. All that is
asked then is asked of one server: no command is sent on, or again, by itself. It must not know what
is kept there.
"""

import contextlib
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from marianne_stream.relay.connecting import AWAY, asked, connected, not_understood, options
from marianne_stream.wire.redis_urls import Address, RedisUrl

Find = Callable[[], Awaitable[Address]]


class Place:
    """Where some keys are that lie together.

    Args:
        connect: makes a client of the server at an address.
        find: says which; None where there is one only, whatever the address.
    """

    def __init__(self, connect: Callable[[Address], Redis], find: Find | None) -> None:
        self._connect = connect
        self._find = find
        self._address: Address = ("", 0)
        self._client = connect(self._address) if find is None else None

    @property
    def client(self) -> Redis:
        """A client of the server that was found last; its connections may be shared by many.

        Raises:
            RedisError: none was found.
        """
        if self._client is None:
            raise RedisConnectionError("nobody has said yet where Redis is")
        return self._client

    async def find(self) -> None:
        """Looks where the server is now.

        Raises:
            RedisError: nobody says it, or nobody answers.
        """
        if self._find is None:
            return
        address = await self._find()
        if address != self._address:
            await self.hang_up()
            self._client = self._connect(address)
            self._address = address

    async def has_moved(self) -> bool:
        """Whether the server is another one now, as far as anybody says."""
        with contextlib.suppress(*AWAY):
            return self._find is not None and await self._find() != self._address
        return False

    async def hang_up(self) -> None:
        """Closes all connections; others are made where there is need of them."""
        if self._client is not None:
            await hang_up(self._client)


async def hang_up(client: Redis) -> None:
    """Closes the connections of a client."""
    with contextlib.suppress(*AWAY):
        await client.connection_pool.disconnect()


def place_of(url: str, password: str | None, key: str) -> Place:
    """Where a key is, and all that have the same hash tag.

    Args:
        url: of Redis, as `wire.redis_urls` describes it.
        password: taken in the place of the URL's; None for that.
        key: the key.

    Raises:
        SettingsError: the URL cannot be understood; the message does not show what is secret in it.
    """
    try:
        found = RedisUrl.parse(url)
    except ValueError:
        raise not_understood(url) from None
    if found.kind == "server":
        return Place(lambda _: connected(url, password), None)
    # What is wrong with it shows now.
    connected(found.server_at(found.addresses[0]), password)
    find = by_sentinels(found) if found.kind == "sentinel" else by_nodes(found, password, key)
    return Place(lambda address: connected(found.server_at(address), password), find)


def by_sentinels(url: RedisUrl) -> Find:
    """Asks the Sentinels for the server that takes writes."""
    sentinel = Sentinel(())  # type: ignore[no-untyped-call]
    sentinel.sentinels = [connected(url.sentinel_at(where), None) for where in url.addresses]

    async def find() -> Address:
        try:
            host, port = await asked(sentinel.discover_master(url.service))
        finally:
            for client in sentinel.sentinels:
                await hang_up(client)
        return str(host), int(port)

    return find


def by_nodes(url: RedisUrl, password: str | None, key: str) -> Find:
    """Asks nodes of the cluster for the one that has a key."""
    given = options(url.server_at(url.addresses[0]), password)
    apart = {"host", "port", "db", "connection_class"}
    cluster = RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in url.addresses],
        require_full_coverage=False,
        ssl=given.get("connection_class") is SSLConnection,
        **{name: value for name, value in given.items() if name not in apart},
    )

    async def find() -> Address:
        try:
            # It begins with the nodes that it was told of last.
            await asked(cluster.initialize())
            node = cluster.get_node_from_key(key)
        finally:
            with contextlib.suppress(*AWAY):
                await cluster.aclose()
        if node is None:
            raise RedisConnectionError("no node of the cluster has the key")
        return str(node.host), int(node.port)

    return find
