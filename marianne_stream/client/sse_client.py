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

from marianne_stream.client.api_client import ApiClient
from marianne_stream.errors import CliError, ServerUnreachableError
from marianne_stream.wire.sse import EventParser, ServerSentEvent

EVENT_STREAM_TYPE = "text/event-stream"

# The server closes behind these, and has nothing more to say.
FINAL_EVENTS = frozenset({"job_finished", "job_deleted", "log_complete"})

# A server that ends a stream at once, before it has said anything, might as well not be there.
HEALTHY_AFTER_S = 2.0

# Said only so that the connection looks alive.
HEARTBEAT = "heartbeat"

DataT = TypeVar("DataT")


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event.

    Attributes:
        name: its name.
        data: what it says.
        cursor: where to resume behind it; "" where there is no such place yet.
    """

    name: str
    data: dict[str, Any]
    cursor: str

    def to_json_object(self) -> dict[str, Any]:
        """The event as `--json` prints it."""
        return {"event": self.name, "cursor": self.cursor or None, "data": self.data}


class SSEClient:
    """Reads a stream to its end, and comes back to it when the connection is lost.

    Args:
        client: whose stream it is.
        path: its path, encoded.
        params: its parameters.
        resume_params: what is different of them for one who comes back.
        cursor: where to begin; "" for where a new client begins.
    """

    def __init__(
        self,
        client: ApiClient,
        path: str,
        params: Mapping[str, str],
        *,
        resume_params: Mapping[str, str] | None = None,
        cursor: str = "",
    ) -> None:
        self._client = client
        self._path = path
        self._params = dict(params)
        self._resume_params = {**self._params, **(resume_params or {})}
        self._cursor = cursor
        self._can_resume = self._has_ended = False
        self._retry_ms: int | None = None
        self._retrier = client.make_retrier()

    async def batches(self) -> AsyncGenerator[list[StreamEvent], None]:
        """Yields what comes, as much at once as has come; ends where the stream does.

        Cancelling is safe.

        Raises:
            UnreachableError: the server cannot be reached, and patience is at an end.
            TerminalError, SettingsError: the server's answer is an error, and stays one.
        """
        while not self._has_ended:
            try:
                async with aclosing(self._read_connection()) as batches:
                    async for batch in batches:
                        yield batch
                # In good order, but too early: it leaves, or had a fault.
                why = ServerUnreachableError("the server has ended the stream")
            except ServerUnreachableError as error:
                why = error
            if not self._has_ended:
                await self._retrier.wait(why, retry_ms=self._retry_ms)

    async def _read_connection(self) -> AsyncGenerator[list[StreamEvent], None]:
        """What one connection gives."""
        params = self._resume_params if self._can_resume else self._params
        async with self._client.open(self._path, params, last_event_id=self._cursor) as response:
            if response.status == 204:
                # "Nothing new will come" (WHATWG HTML section 9.2.3).
                self._has_ended = True
                return
            if response.content_type != EVENT_STREAM_TYPE:
                raise CliError(
                    f"the answer must be {EVENT_STREAM_TYPE}, got {response.content_type}: "
                    "is it a marianne-stream?"
                )
            # What is quiet and lasts is there as well.
            lasts = asyncio.get_running_loop().call_later(
                HEALTHY_AFTER_S, self._retrier.on_connected
            )
            try:
                async with aclosing(self._read_response(response)) as batches:
                    async for batch in batches:
                        yield batch
            finally:
                lasts.cancel()

    async def _read_response(
        self, response: aiohttp.ClientResponse
    ) -> AsyncGenerator[list[StreamEvent], None]:
        """Reads one answer; where it breaks off, the cursor is behind what was yielded."""
        parser = EventParser(last_event_id=self._cursor)
        async for chunk in response.content.iter_any():
            try:
                events = list(parser.feed(chunk))
            except ValueError as error:
                raise CliError(f"the stream cannot be read: {error}") from error
            self._retry_ms = parser.retry_ms
            if events or parser.last_event_id != self._cursor:
                self._retrier.on_connected()
            self._cursor = parser.last_event_id
            self._can_resume = self._can_resume or bool(self._cursor)
            if batch := [parse_event(event) for event in events if event.event != HEARTBEAT]:
                self._retrier.reset_delay()
                self._has_ended = batch[-1].name in FINAL_EVENTS
                self._report_errors(batch)
                yield batch
            if self._has_ended:
                return

    def _report_errors(self, batch: Iterable[StreamEvent]) -> None:
        for event in batch:
            if event.name == "stream_error":
                self._client.reporter.report(str(event.data.get("error", "the server has a fault")))


def parse_event(event: ServerSentEvent) -> StreamEvent:
    """An event with its data read.

    Raises:
        TerminalError: the data is no object of JSON, as all of the server's are.
    """
    try:
        data = msgspec.json.decode(event.data, type=dict[str, Any])
    except (msgspec.DecodeError, ValueError) as error:
        raise CliError(f"the data of {event.event} cannot be read: {error}") from error
    return StreamEvent(event.event, data, event.event_id)


def convert_data(event: StreamEvent, data_type: type[DataT]) -> DataT:
    """An event's data as a value.

    Raises:
        TerminalError: something of it is not what it must be.
    """
    try:
        return msgspec.convert(event.data, data_type)
    except msgspec.ValidationError as error:
        raise CliError(f"the data of {event.name} cannot be used: {error}") from error
