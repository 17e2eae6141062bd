"""Whether Redis can be reached, asked once. It must not know what is kept there."""

import asyncio

from redis.exceptions import NoPermissionError

from marianne_stream.errors import StateUnavailableError
from marianne_stream.relay.connecting import AWAY, asked, words
from marianne_stream.relay.servers import server_of
from marianne_stream.wire.redis_urls import masked

LIMIT_S = 5.0


async def reach(url: str, password: str | None) -> None:
    """Ask Redis for an answer. Cancelling is safe.

    Args:
        url: of Redis.
        password: taken in the place of the URL's; None for that.

    Raises:
        SettingsError: the URL cannot be understood.
        StateUnavailableError: there is no answer; the message does not show what is secret.
    """
    server = server_of(url, password)
    try:
        async with asyncio.timeout(LIMIT_S):
            await server.find()
            await asked(server.client.ping())
    except NoPermissionError:
        # It answers, and knows the user, whose rights are for other commands.
        return
    except (*AWAY, TimeoutError) as error:
        raise StateUnavailableError(f"{masked(url)} does not answer: {words(error)}") from error
    finally:
        await server.hang_up()
