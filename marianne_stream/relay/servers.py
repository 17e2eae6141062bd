"""Which server of Redis has the keys: the only one, or the one that Sentinels name.

That may be another one after a fault, so whoever begins anew looks first. It must not know what is
kept there.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from marianne_stream.relay.connecting import AWAY, asked, connected, not_understood, words
from marianne_stream.wire.redis_urls import Address, RedisUrl

logger = logging.getLogger(__name__)

# How long one who is asked where the server is may take. All are asked at once.
LOOK_LIMIT_S = 1.5

Connect = Callable[[Address], Redis]
Find = Callable[[], Awaitable[Address]]


class Server:
    """The server that has the keys.

    Args:
        connect: makes a client of the server at an address.
        find: says which; None where there is one only, whatever the address.
    """

    def __init__(self, connect: Connect, find: Find | None = None) -> None:
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
        """Looks which server it is now. While nobody says it, it is the one that it was last.

        Raises:
            RedisError: nobody has ever said it.
        """
        if self._find is None:
            return
        try:
            address = await self._find()
        except AWAY as error:
            if self._client is None:
                raise
            logger.debug("%s: the server at %s:%d is tried", error, *self._address)
            return
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


def server_of(url: str, password: str | None) -> Server:
    """The server that a URL names.

    Args:
        url: of Redis, as `wire.redis_urls` describes it.
        password: taken in the place of the URL's; None for that.

    Raises:
        SettingsError: the URL cannot be understood; the message does not show what is secret in it.
    """
    try:
        found = RedisUrl.parse(url)
    except ValueError:
        raise not_understood(url) from None
    if found.kind == "server":
        return Server(lambda _: connected(url, password))

    def connect(address: Address) -> Redis:
        return connected(found.server_at(address), password, shown=url)

    def connect_sentinel(address: Address) -> Redis:
        return connected(found.sentinel_at(address), None, shown=url)

    # What is wrong with the URL shows now.
    connect(found.addresses[0])
    connect_sentinel(found.addresses[0])
    return Server(connect, Sentinels(connect_sentinel, found.addresses, found.service).find)


class Sentinels:
    """Those who know which server takes writes (redis.io, Sentinel clients).

    Args:
        connect: makes a client of one.
        addresses: where they are.
        service: what they call the server.
    """

    def __init__(self, connect: Connect, addresses: Sequence[Address], service: str) -> None:
        self._connect = connect
        self._addresses = addresses
        self._service = service

    async def find(self) -> Address:
        """Where the server is that most of those name who answer.

        Raises:
            RedisError: none of them names any.
        """
        what = f"Sentinels says where {self._service!r} is"
        return await most_named(what, self._addresses, self._connect, self._ask)

    async def _ask(self, client: Redis, _asked: Address) -> Address:
        words = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
        answer = await asked(client.execute_command(*words))  # type: ignore[no-untyped-call]
        if answer is None:
            raise RedisConnectionError(f"it knows no {self._service!r}")
        return answer[0].decode(), int(answer[1])


async def most_named(
    what: str,
    addresses: Sequence[Address],
    connect: Connect,
    ask: Callable[[Redis, Address], Awaitable[Address]],
) -> Address:
    """What most of some servers answer who are asked at once, and answer in time.

    Raises:
        RedisError: none of them does; with what is expected of them, and why the first does not.
    """

    async def one(address: Address) -> Address:
        client = connect(address)
        try:
            async with asyncio.timeout(LOOK_LIMIT_S):
                return await ask(client, address)
        except TimeoutError as error:
            raise RedisConnectionError(f"no answer within {LOOK_LIMIT_S} s") from error
        finally:
            await hang_up(client)

    answers = await asyncio.gather(*map(one, addresses), return_exceptions=True)
    faults = [answer for answer in answers if isinstance(answer, BaseException)]
    for fault in faults:
        if not isinstance(fault, AWAY):
            raise fault
    named = Counter(answer for answer in answers if not isinstance(answer, BaseException))
    if not named:
        raise RedisConnectionError(f"none of {len(addresses)} {what}: {words(faults[0])}")
    return named.most_common(1)[0][0]
