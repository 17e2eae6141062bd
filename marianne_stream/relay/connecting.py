"""A client of Redis, by its URL, and how it is asked. It must not know what is kept there."""

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import DefaultParser, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from marianne_stream.errors import SettingsError
from marianne_stream.wire.redis_urls import masked

# What asking Redis fails with while it is away, or cannot do what it is asked.
AWAY = (RedisError, OSError)

CONNECT_LIMIT_S = 2.0
ANSWER_LIMIT_S = 5.0

# So many commands are under way at once; others wait.
CONNECTIONS = 16

# The largest answer that is read. Above it the connection is closed: Redis would send all of it.
ANSWER_BYTES = 32 * 1024 * 1024


class AnswerTooLargeError(RedisConnectionError):
    """An answer of Redis is larger than any that is read."""


class BoundedParser(DefaultParser):  # type: ignore[misc, valid-type]
    """redis-py's parser, which reads no answer above ANSWER_BYTES.

    redis-py has no such limit. How its parser with hiredis reads is a private matter of redis-py:
    tests/relay/test_connecting.py checks that this one is still asked for each part of an answer.
    """

    def __init__(self, socket_read_size: int) -> None:
        super().__init__(socket_read_size)
        self._left_bytes = 0

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Reads one answer.

        Raises:
            AnswerTooLargeError: it is too large.
        """
        self._left_bytes = ANSWER_BYTES
        return await super().read_response(*args, **options)

    async def read_from_socket(self) -> Any:
        """Reads the next part of an answer."""
        part = await self._stream.read(self._read_size)
        if not part:
            raise RedisConnectionError("the server has closed the connection")
        self._left_bytes -= len(part)
        if self._left_bytes < 0:
            raise AnswerTooLargeError(f"an answer is larger than {ANSWER_BYTES} bytes")
        self._reader.feed(part)
        return True


# How a client and its connections are, whatever the URL says. Answers have one form, whichever
# release of redis-py it is.
FIXED: dict[str, Any] = {
    "socket_connect_timeout": CONNECT_LIMIT_S,
    "socket_timeout": ANSWER_LIMIT_S,
    "protocol": 2,
    "max_connections": CONNECTIONS,
    "timeout": ANSWER_LIMIT_S,
    "parser_class": BoundedParser,
}


def connected(url: str, password: str | None, *, shown: str = "") -> Redis:
    """A client of one server, which connects when it is first asked; it must be closed.

    Nothing is asked twice by itself: whoever asks knows whether that does harm.

    Args:
        url: where Redis is: redis://, rediss:// (TLS) or unix://.
        password: taken in the place of the URL's; None for that.
        shown: the URL that an error names, where it is another one.

    Raises:
        SettingsError: the URL cannot be understood; the message does not show what is secret in it.
    """
    given = {} if password is None else {"password": password}
    fixed = {**FIXED, "retry": Retry(NoBackoff(), 0)}
    try:
        pool = BlockingConnectionPool(**{**parse_url(url), **given, **fixed})
        # Which options a connection takes, it says when it is made.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError, RedisError):
        raise not_understood(shown or url) from None
    return Redis(connection_pool=pool)


def not_understood(url: str) -> SettingsError:
    """The error for a URL; the library's words may hold a part of it."""
    return SettingsError(f"{masked(url)} is no URL of Redis that can be understood")


async def asked(answer: Awaitable[Any] | Any) -> Any:
    """What a call of the client gives. All calls are awaited through here.

    redis-py 8 looks at a connection under a time limit of 0 s before it uses it, and takes a
    cancellation that comes at that moment for the end of that time. So it is asked afterwards
    whether there was one.

    Raises:
        RedisError: Redis is away, or will not do it.
    """
    given = await cast("Awaitable[Any]", answer)
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    return given


def words(error: BaseException) -> str:
    """What an error says; the end of a time limit says nothing."""
    return str(error) or type(error).__name__
