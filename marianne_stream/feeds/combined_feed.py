"""Combined feed: several feeds in one stream, each event marked with the part that it belongs to.

The frames are those of the single streams. The mark is added to frames that all clients share, and
the result is shared by the clients of the same part.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from marianne_stream.errors import MarianneStreamError
from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.feeds.feed import Feed, FeedKind
from marianne_stream.schemas.event_schemas import PartErrorData
from marianne_stream.wire import sse
from marianne_stream.wire.sse import EncodedFrames

OpenFeed = Callable[[], Awaitable[Feed]]

# The data of each event is an object on one line.
DATA_START = b"\ndata: {"
PARTIAL_START = b"event: log_partial" + DATA_START


class Part:
    """A part of a combined stream: a feed whose events are marked.

    Args:
        name: name of the part as the client gave it, as `log:JOB`.
        open_feed: opens the feed.
        job_id: the job, if the events do not name it; else None.
    """

    __slots__ = ("_mark", "_partial_mark", "feed", "name", "open_feed", "sink", "taken")

    def __init__(self, name: str, open_feed: OpenFeed, job_id: str | None = None) -> None:
        self.name = name
        self.open_feed = open_feed
        self.feed: Feed | None = None
        self.sink: Sink | None = None
        self.taken = asyncio.Event()
        self._partial_mark = encode_mark(part=name)
        self._mark = self._partial_mark if job_id is None else encode_mark(part=name, job_id=job_id)

    def mark(self, frames: bytes) -> bytes:
        """Return frames whose events are marked."""
        # The first event has no line end before it.
        marked = (b"\n" + frames).replace(DATA_START, DATA_START + self._mark)[1:]
        if self._mark is not self._partial_mark:
            # The event of an unfinished line names its job.
            marked = marked.replace(PARTIAL_START + self._mark, PARTIAL_START + self._partial_mark)
        return marked

    def try_send(self, frames: EncodedFrames, /) -> bool:
        """Send frames to the client of the combined stream at once, if there is room."""
        return self.sink is not None and self.sink.try_send(frames.derive(self.name, self.mark))


def encode_mark(**fields: str) -> bytes:
    """Return the fields with which the data of an event begins, without the brace."""
    return json.dumps(fields, separators=(",", ":"))[1:-1].encode() + b","


class CombinedFeed:
    """Feed of several parts, each of which ends by itself. Must be closed."""

    kind: FeedKind = "combined"
    has_heartbeats = True

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._tasks: list[asyncio.Task[None]] = []
        # Frames that wait to be taken, with their part; None when all parts have ended.
        self._ready: asyncio.Queue[tuple[Part, bytes] | None] = asyncio.Queue()
        self._first_frames = b""
        self._is_finished = False

    async def open(self) -> None:
        """Open the feeds of all parts; a part that cannot be opened is a `part_error` event."""
        errors = await asyncio.gather(*map(self._open_part, self._parts))
        self._first_frames = b"".join(errors)

    @property
    def is_exhausted(self) -> bool:
        """True if nothing will follow in any part."""
        return not self._first_frames and all(
            part.feed is None or part.feed.is_exhausted for part in self._parts
        )

    @property
    def buffered_bytes(self) -> int:
        """Size of what the parts hold for the client."""
        return sum(part.feed.buffered_bytes for part in self._parts if part.feed is not None)

    def set_sink(self, sink: Sink) -> None:
        """Send new frames of each part to a sink while its feed waits for more."""
        for part in self._parts:
            part.sink = sink
            if part.feed is not None:
                part.feed.set_sink(part)

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield the frames of all parts until the last has ended."""
        if self._first_frames:
            yield self._first_frames
        running = [part for part in self._parts if part.feed is not None]
        self._tasks = [asyncio.create_task(self._run_part(part)) for part in running]
        for _ in running:
            while (ready := await self._ready.get()) is not None:
                part, frames = ready
                yield frames
                # Only now may the part send to the sink, past this iterator.
                part.taken.set()

    def finish(self) -> None:
        """Let all parts end."""
        self._is_finished = True
        for part in self._parts:
            if part.feed is not None:
                part.feed.finish()

    def close(self) -> None:
        """Close the feeds of all parts."""
        for task in self._tasks:
            task.cancel()
        for part in self._parts:
            part.sink = None
            if part.feed is not None:
                part.feed.close()
                part.feed = None

    async def _open_part(self, part: Part) -> bytes:
        """Open the feed of a part; return the frame of the error if that fails."""
        try:
            part.feed = await part.open_feed()
        except MarianneStreamError as error:
            return make_part_error_frame(part.name, error)
        return b""

    async def _run_part(self, part: Part) -> None:
        """Hand over the frames of a part until it ends."""
        try:
            if part.feed is not None and not part.feed.is_exhausted:
                async for frames in part.feed.frames():
                    if frames:
                        await self._hand_over(part, part.mark(frames))
        except MarianneStreamError as error:
            await self._hand_over(part, make_part_error_frame(part.name, error))
        finally:
            self._ready.put_nowait(None)

    async def _hand_over(self, part: Part, frames: bytes) -> None:
        """Wait until the client has been sent the frames."""
        part.taken.clear()
        self._ready.put_nowait((part, frames))
        await part.taken.wait()


def make_part_error_frame(name: str, error: MarianneStreamError) -> bytes:
    """Make the event that ends a part."""
    data = PartErrorData(part=name, code=error.code, detail=error.detail)
    return sse.frame(data.json_bytes(), event="part_error")
