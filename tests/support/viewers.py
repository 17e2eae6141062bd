"""Viewer of a stream that sees events as an EventSource does."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp

from marianne_stream.wire.sse import EventParser, ServerSentEvent
from tests.support.waiting import wait_for_value, wait_until


class Viewer:
    """Reads one stream in the background.

    Attributes:
        response: the response without its body.
        events: all events so far.
        event_counts: number of events by name.
        has_ended: the server has ended the stream in good order.
        error: the error that broke the stream, or None.
    """

    def __init__(self, response: aiohttp.ClientResponse, last_event_id: str = "") -> None:
        self.response = response
        self.events: list[ServerSentEvent] = []
        self.event_counts: Counter[str] = Counter()
        self.raw = b""
        self.has_ended = False
        self.error: Exception | None = None
        self._parser = EventParser(last_event_id=last_event_id)

    @property
    def last_event_id(self) -> str:
        """Return the `Last-Event-ID` of a reconnect."""
        return self._parser.last_event_id

    @property
    def retry_ms(self) -> int | None:
        """Return the delay that the server asked for."""
        return self._parser.retry_ms

    @property
    def event_names(self) -> list[str]:
        """Return the names of the events so far."""
        return [event.event for event in self.events]

    @property
    def progress(self) -> list[tuple[str, int, int | None]]:
        """Return status, completed sheets and current sheet of each `job_status`."""
        return [
            (data["status"], data["completed_sheets"], data["current_sheet"])
            for data in self.event_data("job_status")
        ]

    def event_data(self, *names: str) -> list[dict[str, Any]]:
        """Return the data of the events with these names, in order."""
        return [json.loads(event.data) for event in self.events if event.event in names]

    async def wait_for(
        self, name: str, count: int = 1, *, timeout_s: float = 10.0
    ) -> dict[str, Any]:
        """Wait until `count` events of a name have come, and return the data of the last."""
        await wait_until(lambda: self.event_counts[name] >= count, timeout_s=timeout_s)
        return self.event_data(name)[count - 1]

    async def wait_for_status(self, *, timeout_s: float = 10.0, **fields: object) -> dict[str, Any]:
        """Wait until the newest `job_status` has these values."""
        await wait_until(lambda: self.has_status(**fields), timeout_s=timeout_s)
        return self.event_data("job_status")[-1]

    def has_status(self, **fields: object) -> bool:
        """Return whether the newest `job_status` has these values."""
        newest = (self.event_data("job_status") or [{}])[-1]
        return all(newest.get(name) == value for name, value in fields.items())

    async def wait_ended(self, *, timeout_s: float = 10.0) -> None:
        """Wait until the stream has ended in good order."""
        await wait_until(lambda: self.has_ended or self.error, timeout_s=timeout_s)
        assert self.error is None

    async def read(self) -> None:
        """Read to the end of the stream."""
        try:
            async for chunk in self.response.content.iter_any():
                self.raw += chunk
                for event in self._parser.feed(chunk):
                    self.events.append(event)
                    self.event_counts[event.event] += 1
            self.has_ended = True
        except aiohttp.ClientError as error:
            self.error = error


@asynccontextmanager
async def open_viewer(
    session: aiohttp.ClientSession,
    url: str,
    *,
    last_event_id: str = "",
    headers: Any = None,
    **params: str,
) -> AsyncIterator[Viewer]:
    """Open a stream and read it in the background."""
    headers = {"Accept": "text/event-stream", **(headers or {})}
    if last_event_id:
        headers["Last-Event-ID"] = last_event_id
    timeout = aiohttp.ClientTimeout(total=None)
    async with session.get(url, headers=headers, params=params, timeout=timeout) as response:
        viewer = Viewer(response, last_event_id)
        reading = asyncio.create_task(viewer.read())
        try:
            yield viewer
        finally:
            reading.cancel()
            await asyncio.wait([reading])


async def wait_for_source(url: str, *, live: bool) -> None:
    """Wait until the newest `source` event of a stream says that the source is live, or not."""
    async with aiohttp.ClientSession() as session, open_viewer(session, url) as viewer:
        await wait_until(
            lambda: [data["live"] for data in viewer.event_data("source")[-1:]] == [live]
        )


async def fetch_open_streams(address: str) -> dict[str, int]:
    """Return a server's number of open streams by kind; needs no token."""
    async with aiohttp.ClientSession() as session, session.get(f"{address}/metrics") as answer:
        text = await answer.text()
    found = re.findall(r'marianne_stream_streams_open\{kind="(\w+)"\} (\d+)', text)
    return {kind: int(count) for kind, count in found}


async def wait_for_combined_streams(address: str, count: int = 1) -> None:
    """Wait until a server has this many combined streams, and no others.

    While the parts of a stream change, a second one is open for a moment.
    """
    await wait_for_value(
        partial(fetch_open_streams, address),
        lambda counts: counts["combined"] == sum(counts.values()) == count,
    )
