"""A client of Redis, by its URL, and how it is asked. It must not know what is kept there."""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import DefaultParser, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, RedisError

from marianne_stream.errors import SettingsError, StateUnavailableError
from marianne_stream.wire.redis_urls import redact_url

# What asking Redis fails with while it is away, or cannot do what it is asked.
REDIS_ERRORS = (RedisError, OSError)

CONNECT_TIMEOUT_S = 2.0
RESPONSE_TIMEOUT_S = 5.0

# So many commands are under way at once; others wait.
MAX_CONNECTIONS = 16

# The largest answer that is read. Above it the connection is closed: Redis would send all of it.
MAX_RESPONSE_BYTES = 32 * 1024 * 1024


class ResponseTooLargeError(RedisConnectionError):
    """An answer of Redis is larger than any that is read."""


class BoundedParser(DefaultParser):  # type: ignore[misc, valid-type]
    """redis-py's parser, which reads no answer above ANSWER_BYTES.

    redis-py has no such limit. How its parser with hiredis reads is a private matter of redis-py:
    tests/relay/test_connecting.py checks that this one is still asked for each part of an answer.
    """

    def __init__(self, socket_read_size: int) -> None:
        super().__init__(socket_read_size)
        self._remaining_bytes = 0

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Reads one answer.

        Raises:
            AnswerTooLargeError: it is too large.
        """
        self._remaining_bytes = MAX_RESPONSE_BYTES
        return await super().read_response(*args, **options)

    async def read_from_socket(self) -> Any:
        """Reads the next part of an answer."""
        part = await self._stream.read(self._read_size)
        if not part:
            raise RedisConnectionError("the server has closed the connection")
        self._remaining_bytes -= len(part)
        if self._remaining_bytes < 0:
            raise ResponseTooLargeError(f"an answer is larger than {MAX_RESPONSE_BYTES} bytes")
        self._reader.feed(part)
        return True


# How a client and its connections are, whatever the URL says. Answers have one form, whichever
# release of redis-py it is.
CLIENT_OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": CONNECT_TIMEOUT_S,
    "socket_timeout": RESPONSE_TIMEOUT_S,
    "protocol": 2,
    "max_connections": MAX_CONNECTIONS,
    "timeout": RESPONSE_TIMEOUT_S,
    "parser_class": BoundedParser,
}

# Sentinels are asked one after the other: one that is silent delays the next by this.
SENTINEL_TIMEOUT_S = 0.5
DEFAULT_SENTINEL_PORT = 26379


class SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary that Sentinels name, all closed as soon as it is another one."""

    async def get_master_address(self) -> Any:
        """Return the address of the primary, asked anew.

        Raises:
            RedisConnectionError: no Sentinel names any. redis-py's own error shows the clients.
        """
        before = self.master_address
        try:
            address = await super().get_master_address()  # type: ignore[no-untyped-call]
        except MasterNotFoundError:
            what = f"names a primary of {self.service_name!r}"
            count = len(self.sentinel_manager.sentinels)
            raise RedisConnectionError(f"none of {count} Sentinels {what}") from None
        if before not in (None, address):
            await self.disconnect()
        return address

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002
        """Close all connections, those to the Sentinels as well."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.connection_pool.disconnect()


def make_client(url: str, password: str | None) -> Redis:
    """Make a client of Redis, which connects when it is first asked; it must be closed.

    Nothing is asked twice by itself: whoever asks knows whether that does harm.

    Args:
        url: where Redis is: redis://, rediss:// (TLS) or unix://; or redis+sentinel:// or
            rediss+sentinel://, then HOST:PORT,…/SERVICE/DB of its Sentinels.
        password: taken in the place of the URL's; None for that.

    Raises:
        SettingsError: the URL cannot be understood; the message does not show what is secret in it.
    """
    given = {} if password is None else {"password": password}
    fixed = {**given, **CLIENT_OPTIONS, "retry": Retry(NoBackoff(), 0)}
    try:
        pool = make_pool(url, fixed)
        # Which options a connection takes, it says when it is made.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError, RedisError):
        # The library's words may hold a part of the URL.
        message = f"{redact_url(url)} is no URL of Redis that can be understood"
        raise SettingsError(message) from None
    return Redis(connection_pool=pool)


def make_pool(url: str, client_options: dict[str, Any]) -> BlockingConnectionPool:
    """Make the connections that a URL describes; raises what redis-py does."""
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    if parts.fragment:
        raise ValueError("a # that is no %23 ends a URL")
    if not kind:
        return BlockingConnectionPool(**{**parse_url(url), **client_options})
    who, at, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if kind != "sentinel" or not service or (database and not database.isdecimal()):
        raise ValueError(f"the path {parts.path!r} names no service of Sentinels")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    theirs = {name: query.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    options: dict[str, Any] = dict(
        parse_url(f"{scheme}://{who}{at}_/{database}?{urlencode(query)}")
    )
    for name in ("host", "port", "connection_class"):
        options.pop(name, None)
    by_tls = scheme == "rediss"
    own = {name: value for name, value in options.items() if name.startswith(("ssl", "socket"))}
    manager = Sentinel(  # type: ignore[no-untyped-call]
        [parse_address(host) for host in hosts.split(",")],
        sentinel_kwargs={
            **own,
            **theirs,
            "ssl": by_tls,
            "protocol": 2,
            "retry": client_options["retry"],
            "socket_timeout": SENTINEL_TIMEOUT_S,
            "socket_connect_timeout": SENTINEL_TIMEOUT_S,
        },
    )
    given = {**options, **client_options, "ssl": by_tls}
    return SentinelPool(unquote(service), manager, **given)  # type: ignore[no-untyped-call]


def parse_address(text: str) -> tuple[str, int]:
    """Return a Sentinel's host and port, where one is named."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.port == 0:
        raise ValueError(f"{text!r} is no host, or has no port that can be")
    return parts.hostname, parts.port or DEFAULT_SENTINEL_PORT


async def ensure_same_primary(client: Redis) -> None:
    """Ask the Sentinels whether the primary is still the same one, if there are any.

    A server that is cut off from the others answers on, although they have given it up.

    Raises:
        RedisConnectionError: it is another one; all connections are closed.
    """
    pool = client.connection_pool
    if not isinstance(pool, SentinelPool):
        return
    before = pool.master_address
    with contextlib.suppress(*REDIS_ERRORS):
        await pool.get_master_address()
    if before not in (None, pool.master_address):
        raise RedisConnectionError("another server has taken over")


async def close_connections(client: Redis) -> None:
    """Close the connections of a client; others are made where there is need of them."""
    with contextlib.suppress(*REDIS_ERRORS):
        await client.connection_pool.disconnect()


async def check_reachable(url: str, password: str | None) -> None:
    """Ask Redis for an answer. Cancelling is safe.

    Args:
        url: of Redis.
        password: taken in the place of the URL's; None for that.

    Raises:
        SettingsError: the URL cannot be understood.
        StateUnavailableError: there is no answer; the message does not show what is secret.
    """
    client = make_client(url, password)
    try:
        async with asyncio.timeout(RESPONSE_TIMEOUT_S):
            await call(client.ping())
    except NoPermissionError:
        # It answers, and knows the user, whose rights are for other commands.
        return
    except (*REDIS_ERRORS, TimeoutError) as error:
        raise StateUnavailableError(
            f"{redact_url(url)} does not answer: {describe_error(error)}"
        ) from error
    finally:
        await close_connections(client)


async def call(response: Awaitable[Any] | Any) -> Any:
    """What a call of the client gives. All calls are awaited through here.

    redis-py 8 looks at a connection under a time limit of 0 s before it uses it, and takes a
    cancellation that comes at that moment for the end of that time. So it is asked afterwards
    whether there was one.

    Raises:
        RedisError: Redis is away, or will not do it.
    """
    given = await cast("Awaitable[Any]", response)
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    return given


def describe_error(error: BaseException) -> str:
    """What an error says; the end of a time limit says nothing."""
    return str(error) or type(error).__name__
