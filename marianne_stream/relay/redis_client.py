"""Client of Redis, made from a URL, with bounds on time, connections and size of answers."""

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

# Errors of a call while Redis is away, or if it refuses a command.
REDIS_ERRORS = (RedisError, OSError)

CONNECT_TIMEOUT_S = 2.0
RESPONSE_TIMEOUT_S = 5.0

# Concurrent commands; further ones wait.
MAX_CONNECTIONS = 16

# Above this size of an answer the connection is closed: Redis would send all of it.
MAX_RESPONSE_BYTES = 32 * 1024 * 1024


class ResponseTooLargeError(RedisConnectionError):
    """An answer of Redis is above the limit."""


class BoundedParser(DefaultParser):  # type: ignore[misc, valid-type]
    """redis-py's parser with a limit of an answer's size.

    It relies on private parts of redis-py's parser with hiredis: tests/relay/test_redis_client.py
    checks that `read_from_socket` is called for each part of an answer.
    """

    def __init__(self, socket_read_size: int) -> None:
        super().__init__(socket_read_size)
        self._remaining_bytes = 0

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read one answer, or raise ResponseTooLargeError."""
        self._remaining_bytes = MAX_RESPONSE_BYTES
        return await super().read_response(*args, **options)

    async def read_from_socket(self) -> Any:
        """Read the next part of an answer."""
        part = await self._stream.read(self._read_size)
        if not part:
            raise RedisConnectionError("the server has closed the connection")
        self._remaining_bytes -= len(part)
        if self._remaining_bytes < 0:
            raise ResponseTooLargeError(f"an answer is larger than {MAX_RESPONSE_BYTES} bytes")
        self._reader.feed(part)
        return True


# Options that a URL cannot change. RESP2 gives answers one form in all releases of redis-py.
CLIENT_OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": CONNECT_TIMEOUT_S,
    "socket_timeout": RESPONSE_TIMEOUT_S,
    "protocol": 2,
    "max_connections": MAX_CONNECTIONS,
    "timeout": RESPONSE_TIMEOUT_S,
    "parser_class": BoundedParser,
}

# Sentinels are asked one after the other, so a silent one delays the next by this.
SENTINEL_TIMEOUT_S = 0.5
DEFAULT_SENTINEL_PORT = 26379


class SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary that Sentinels name, closed if they name another one."""

    async def get_master_address(self) -> Any:
        """Ask for the address of the primary; raise RedisConnectionError if there is none.

        redis-py's own error would show the passwords of the clients.
        """
        before = self.master_address
        try:
            address = await super().get_master_address()  # type: ignore[no-untyped-call]
        except MasterNotFoundError:
            count = len(self.sentinel_manager.sentinels)
            raise RedisConnectionError(
                f"none of {count} Sentinels names a primary of {self.service_name!r}"
            ) from None
        if before not in (None, address):
            await self.disconnect()
        return address

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002
        """Close all connections, and those to the Sentinels."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.connection_pool.disconnect()


def make_client(url: str, password: str | None) -> Redis:
    """Make a client, which connects at its first command and never retries a command.

    Args:
        url: redis://, rediss:// (TLS) or unix://; or redis+sentinel:// or rediss+sentinel:// with
            HOST:PORT,…/SERVICE/DB of the Sentinels.
        password: password in place of the URL's, or None.

    Raises:
        SettingsError: the URL is invalid. The message shows no password.
    """
    options = {**CLIENT_OPTIONS, "retry": Retry(NoBackoff(), 0)}
    if password is not None:
        options["password"] = password
    try:
        pool = make_pool(url, options)
        # Unknown options are refused when a connection is made.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError, RedisError):
        # The library's message may hold a part of the URL.
        raise SettingsError(
            f"{redact_url(url)} is not a URL of Redis: use redis://, rediss:// or unix://, or "
            "redis+sentinel:// with HOST:PORT,…/SERVICE"
        ) from None
    return Redis(connection_pool=pool)


def make_pool(url: str, client_options: dict[str, Any]) -> BlockingConnectionPool:
    """Make the connection pool for a URL; raises as redis-py does."""
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    if parts.fragment:
        raise ValueError("a # in a URL is written %23")
    if not kind:
        return BlockingConnectionPool(**{**parse_url(url), **client_options})
    login, at, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if kind != "sentinel" or not service or (database and not database.isdecimal()):
        raise ValueError(f"the path {parts.path!r} names no service of Sentinels")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    sentinel_login = {key: query.pop(f"sentinel_{key}", None) for key in ("username", "password")}
    options: dict[str, Any] = dict(
        parse_url(f"{scheme}://{login}{at}_/{database}?{urlencode(query)}")
    )
    for name in ("host", "port", "connection_class"):
        options.pop(name, None)
    tls = {"ssl": scheme == "rediss"}
    shared = {name: value for name, value in options.items() if name.startswith(("ssl", "socket"))}
    manager = Sentinel(  # type: ignore[no-untyped-call]
        [parse_address(host) for host in hosts.split(",")],
        sentinel_kwargs={
            **shared,
            **sentinel_login,
            **tls,
            "protocol": 2,
            "retry": client_options["retry"],
            "socket_timeout": SENTINEL_TIMEOUT_S,
            "socket_connect_timeout": SENTINEL_TIMEOUT_S,
        },
    )
    pool_options = {**options, **client_options, **tls}
    return SentinelPool(unquote(service), manager, **pool_options)  # type: ignore[no-untyped-call]


def parse_address(text: str) -> tuple[str, int]:
    """Return a Sentinel's host and port, or raise ValueError."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.port == 0:
        raise ValueError(f"not a HOST:PORT: {text!r}")
    return parts.hostname, parts.port or DEFAULT_SENTINEL_PORT


async def ensure_same_primary(client: Redis) -> None:
    """Raise RedisConnectionError if Sentinels name another primary; close all connections then.

    A server that is cut off from the others keeps answering after they have replaced it.
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
    """Close all connections of a client; new ones are made if they are needed."""
    with contextlib.suppress(*REDIS_ERRORS):
        await client.connection_pool.disconnect()


async def check_reachable(url: str, password: str | None) -> None:
    """Ask Redis for an answer; raise SettingsError or StateUnavailableError, without password."""
    client = make_client(url, password)
    try:
        async with asyncio.timeout(RESPONSE_TIMEOUT_S):
            await call(client.ping())
    except NoPermissionError:
        # Redis answers, and the user has rights for other commands.
        return
    except (*REDIS_ERRORS, TimeoutError) as error:
        raise StateUnavailableError(
            f"{redact_url(url)} does not answer: {describe_error(error)}"
        ) from error
    finally:
        await close_connections(client)


async def call(response: Awaitable[Any] | Any) -> Any:
    """Await a call of the client. All calls are awaited here; raises RedisError.

    redis-py 8 polls a connection under a time limit of 0 s before it uses it, and takes a
    cancellation at that moment for the end of that time. Hence the check for a cancellation.
    """
    answer = await cast("Awaitable[Any]", response)
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    return answer


def describe_error(error: BaseException) -> str:
    """Return the message of an error, or its type: a timeout has no message."""
    return str(error) or type(error).__name__
