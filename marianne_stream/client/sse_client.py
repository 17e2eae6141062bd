"""Client of one event stream: reconnects and resumes, without repeated or lost events."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import msgspec

from marianne_stream.client.api_client import ApiClient, QueryParams
from marianne_stream.client.cli_errors import CliError, ServerUnreachableError
from marianne_stream.wire.sse import EventParser, ServerSentEvent

EVENT_STREAM_TYPE = "text/event-stream"

# Last events of a stream.
FINAL_EVENTS = frozenset({"job_finished", "job_deleted", "log_complete"})

# A stream that ends sooner, without data, does not count as a connection.
HEALTHY_AFTER_S = 2.0

HEARTBEAT = "heartbeat"

DataT = TypeVar("DataT")


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """Event of a stream, with the cursor to resume after it; "" if there is none yet."""

    name: str
    data: dict[str, Any]
    cursor: str

    def to_json_object(self) -> dict[str, Any]:
        """Return the event as `--json` prints it."""
        return {"event": self.name, "cursor": self.cursor or None, "data": self.data}


class SSEClient:
    """Reads a stream to its end, with reconnects, which add `resume_params` to its query."""

    def __init__(
        self,
        client: ApiClient,
        path: str,
        params: QueryParams,
        *,
        resume_params: QueryParams | None = None,
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
        """Yield events in batches, as many at once as have arrived, until the stream ends.

        Cancelling is safe.

        Raises:
            ServerUnreachableError: the server cannot be reached within the retry timeout.
            CliError, SettingsError: the response is an error for which a retry does not help.
        """
        while not self._has_ended:
            try:
                async with aclosing(self._read_connection()) as batches:
                    async for batch in batches:
                        yield batch
                # Ended without a final event: the server is shutting down, or had an error.
                reason = ServerUnreachableError("the server has ended the stream")
            except ServerUnreachableError as error:
                reason = error
            if not self._has_ended:
                await self._retrier.wait(reason, retry_ms=self._retry_ms)

    async def _read_connection(self) -> AsyncGenerator[list[StreamEvent], None]:
        """Yield the events of one connection."""
        params = self._resume_params if self._can_resume else self._params
        headers = {"Last-Event-ID": self._cursor} if self._cursor else {}
        async with self._client.open(self._path, params, headers=headers) as response:
            if response.status == 204:
                # 204 stops a client from reconnecting (WHATWG HTML section 9.2.3).
                self._has_ended = True
                return
            if response.content_type != EVENT_STREAM_TYPE:
                raise CliError(
                    f"the answer must be {EVENT_STREAM_TYPE}, got {response.content_type}: "
                    "is it a marianne-stream?"
                )
            # A quiet stream counts as connected after a while.
            healthy_timer = asyncio.get_running_loop().call_later(
                HEALTHY_AFTER_S, self._retrier.on_connected
            )
            try:
                async with aclosing(self._read_response(response)) as batches:
                    async for batch in batches:
                        yield batch
            finally:
                healthy_timer.cancel()

    async def _read_response(
        self, response: aiohttp.ClientResponse
    ) -> AsyncGenerator[list[StreamEvent], None]:
        """Yield the events of one response, and advance the cursor past them."""
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
                self._client.reporter.report(str(event.data.get("error", "the server failed")))


def parse_event(event: ServerSentEvent) -> StreamEvent:
    """Decode the data of an event.

    Raises:
        CliError: the data is not a JSON object.
    """
    try:
        data = msgspec.json.decode(event.data, type=dict[str, Any])
    except (msgspec.DecodeError, ValueError) as error:
        raise CliError(f"the data of {event.event} cannot be read: {error}") from error
    return StreamEvent(event.event, data, event.event_id)


def convert_data(event: StreamEvent, data_type: type[DataT]) -> DataT:
    """Convert the data of an event to a type.

    Raises:
        CliError: a field is missing or has the wrong type.
    """
    try:
        return msgspec.convert(event.data, data_type)
    except msgspec.ValidationError as error:
        raise CliError(f"the data of {event.name} is invalid: {error}") from error
