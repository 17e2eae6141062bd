"""One stream of the server, with all its connections: what it says, each thing once.

It must not know what the events mean, but for those that end a stream.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import msgspec

from marianne_stream.client.server import Server
from marianne_stream.errors import CliError, ServerUnreachableError
from marianne_stream.wire.sse import EventParser, ServerSentEvent

EVENT_STREAM = "text/event-stream"

# The server closes behind these, and has nothing more to say.
LAST_EVENTS = frozenset({"job_finished", "job_deleted", "log_complete"})

# A server that ends a stream at once, before it has said anything, might as well not be there.
LASTS_S = 2.0

# Said only so that the connection looks alive.
HEARTBEAT = "heartbeat"

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        name: its name.
        data: what it says.
        cursor: where to resume behind it; "" where there is no such place yet.
    """

    name: str
    data: dict[str, Any]
    cursor: str

    def as_object(self) -> dict[str, Any]:
        """The event as `--json` prints it."""
        return {"event": self.name, "cursor": self.cursor or None, "data": self.data}


class Stream:
    """Reads a stream to its end, and comes back to it when the connection is lost.

    Args:
        server: whose stream it is.
        path: its path, encoded.
        params: its parameters.
        params_again: what is different of them for one who comes back.
        cursor: where to begin; "" for where a new client begins.
    """

    def __init__(
        self,
        server: Server,
        path: str,
        params: Mapping[str, str],
        *,
        params_again: Mapping[str, str] | None = None,
        cursor: str = "",
    ) -> None:
        self._server = server
        self._path = path
        self._params = dict(params)
        self._params_again = {**self._params, **(params_again or {})}
        self._cursor = cursor
        self._begun = self._ended = False
        self._retry_ms: int | None = None
        self._tries = server.tries()

    async def batches(self) -> AsyncGenerator[list[Event], None]:
        """Yields what comes, as much at once as has come; ends where the stream does.

        Cancelling is safe.

        Raises:
            UnreachableError: the server cannot be reached, and patience is at an end.
            TerminalError, SettingsError: the server's answer is an error, and stays one.
        """
        while not self._ended:
            try:
                async with aclosing(self._connection()) as batches:
                    async for batch in batches:
                        yield batch
                # In good order, but too early: it leaves, or had a fault.
                why = ServerUnreachableError("the server has ended the stream")
            except ServerUnreachableError as error:
                why = error
            if not self._ended:
                await self._tries.wait(why, retry_ms=self._retry_ms)

    async def _connection(self) -> AsyncGenerator[list[Event], None]:
        """What one connection gives."""
        params = self._params_again if self._begun else self._params
        async with self._server.open(self._path, params, last_event_id=self._cursor) as response:
            if response.status == 204:
                # "Nothing new will come" (WHATWG HTML section 9.2.3).
                self._ended = True
                return
            if response.content_type != EVENT_STREAM:
                raise CliError(
                    f"the answer must be {EVENT_STREAM}, got {response.content_type}: "
                    "is it a marianne-stream?"
                )
            # What is quiet and lasts is there as well.
            lasts = asyncio.get_running_loop().call_later(LASTS_S, self._tries.answered)
            try:
                async with aclosing(self._read(response)) as batches:
                    async for batch in batches:
                        yield batch
            finally:
                lasts.cancel()

    async def _read(self, response: aiohttp.ClientResponse) -> AsyncGenerator[list[Event], None]:
        """Reads one answer; where it breaks off, the cursor is behind what was yielded."""
        parser = EventParser(last_event_id=self._cursor)
        async for chunk in response.content.iter_any():
            try:
                events = list(parser.feed(chunk))
            except ValueError as error:
                raise CliError(f"the stream cannot be read: {error}") from error
            self._retry_ms = parser.retry_ms
            if events or parser.last_event_id != self._cursor:
                self._tries.answered()
            self._cursor = parser.last_event_id
            self._begun = self._begun or bool(self._cursor)
            if batch := [event_of(event) for event in events if event.event != HEARTBEAT]:
                self._tries.went_well()
                self._ended = batch[-1].name in LAST_EVENTS
                self._say_faults(batch)
                yield batch
            if self._ended:
                return

    def _say_faults(self, batch: Iterable[Event]) -> None:
        for event in batch:
            if event.name == "stream_error":
                self._server.notes.say(str(event.data.get("error", "the server has a fault")))


def event_of(event: ServerSentEvent) -> Event:
    """An event with its data read.

    Raises:
        TerminalError: the data is no object of JSON, as all of the server's are.
    """
    try:
        data = msgspec.json.decode(event.data, type=dict[str, Any])
    except (msgspec.DecodeError, ValueError) as error:
        raise CliError(f"the data of {event.event} cannot be read: {error}") from error
    return Event(event.event, data, event.event_id)


def read(event: Event, kind: type[Read]) -> Read:
    """An event's data as a value.

    Raises:
        TerminalError: something of it is not what it must be.
    """
    try:
        return msgspec.convert(event.data, kind)
    except msgspec.ValidationError as error:
        raise CliError(f"the data of {event.name} cannot be used: {error}") from error
