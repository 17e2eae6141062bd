"""Combined feed: several feeds in one stream, each event marked with the part that it belongs to.

The frames are those of the single streams. The mark is added to frames that all clients share, and
the result is shared by the clients of the same part.
"""

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from marianne_stream.errors import MarianneStreamError
from marianne_stream.fanout.subscriber_queue import Sink
from marianne_stream.feeds.feed import Feed, FeedKind
from marianne_stream.schemas.event_schemas import PartErrorData
from marianne_stream.wire import sse
from marianne_stream.wire.sse import EncodedFrames

logger = logging.getLogger(__name__)

OpenFeed = Callable[[], Awaitable[Feed]]

# Time that all parts have to open before the stream begins: only then is it known whether any part
# has something to send. A part that takes longer, for example because the conductor is slow, joins
# later and holds up no other part.
OPEN_TIMEOUT_S = 0.25

# The data of each event is an object on one line, and ends like this.
FRAME_END = b"}\n\n"

# An id without an event, and an unfinished line, whose event names its job.
ID_ONLY = re.compile(rb"^(id: [^\n]*\n)\n", re.MULTILINE)
PARTIAL_FRAME = re.compile(rb"^event: log_partial\ndata: [^\n]*\n\n", re.MULTILINE)

# Events of a timeline that name no job: those of the conductor do.
EVENT_WITHOUT_JOB = re.compile(
    rb'^(event: (?:gap|source)\ndata: \{)(?:"job_id":null,)?', re.MULTILINE
)

# Limit of a part's name in the log.
MAX_LOGGED_CHARS = 200


class Part:
    """A part of a combined stream: a feed whose events are marked.

    The mark is at the end of an event's data: a conductor's event may have a field `part` of its
    own, and parsers of JSON take the last field of a name.

    Args:
        name: name of the part as the client gave it, as `log:JOB`.
        open_feed: opens the feed.
        job_id: the job; None for the roster.
        kind: kind of the feed.

    Attributes:
        feed: the feed while it is open.
        sink: the client of the combined stream, for frames that need not wait.
        waiting_frames: frames that wait to be sent.
        taken: done after these frames were sent; None before the first.
        task: runs the part.
    """

    __slots__ = (
        "_end",
        "_log_end",
        "feed",
        "job_id",
        "kind",
        "name",
        "open_feed",
        "sink",
        "taken",
        "task",
        "waiting_frames",
    )

    def __init__(
        self,
        name: str,
        open_feed: OpenFeed,
        job_id: str | None = None,
        *,
        kind: FeedKind,
    ) -> None:
        self.name = name
        self.open_feed = open_feed
        self.job_id = job_id
        self.kind = kind
        self.feed: Feed | None = None
        self.sink: Sink | None = None
        self.waiting_frames = b""
        self.taken: asyncio.Future[None] | None = None
        self.task: asyncio.Task[None] | None = None
        self._end = make_marked_end(part=name)
        self._log_end = make_marked_end(part=name, job_id=job_id or "") if kind == "log" else b""

    def mark(self, frames: bytes) -> bytes:
        """Return frames whose events are marked; an id alone becomes a `part_start` event."""
        if self.kind == "log":
            return self._mark_log(frames)
        if self.kind == "events" and (b"event: gap\n" in frames or b"event: source\n" in frames):
            job = b'"job_id":%b,' % json.dumps(self.job_id).encode()
            frames = EVENT_WITHOUT_JOB.sub(lambda found: found[1] + job, frames)
        return frames.replace(FRAME_END, self._end)

    def _mark_log(self, frames: bytes) -> bytes:
        marked = frames.replace(FRAME_END, self._log_end)
        # The searches take longer than all else: they are made only if they find something.
        if b"event: log_partial\n" in frames:
            marked = PARTIAL_FRAME.sub(lambda one: one[0].replace(self._log_end, self._end), marked)
        if frames.count(b"\n\n") != frames.count(FRAME_END):
            marked = ID_ONLY.sub(lambda one: one[1] + self.make_start(), marked)
        return marked

    def make_start(self) -> bytes:
        """Make the event that tells that a log has begun."""
        return b"event: part_start\ndata: {" + self._log_end[1:]

    def try_send(self, frames: EncodedFrames, /) -> bool:
        """Send frames to the client of the combined stream at once, if there is room."""
        return self.sink is not None and self.sink.try_send(frames.derive(self.name, self.mark))

    @property
    def buffered_bytes(self) -> int:
        """Size of what is held for the client."""
        queued = self.feed.buffered_bytes if self.feed is not None else 0
        return queued + len(self.waiting_frames)

    def close(self) -> None:
        """Close the feed, if it is open."""
        feed, self.feed = self.feed, None
        if feed is not None:
            feed.close()


def make_marked_end(**fields: str) -> bytes:
    """Return the end of an event's data with the fields of the mark, and of its frame."""
    return b"," + json.dumps(fields, separators=(",", ":"))[1:].encode() + b"\n\n"


class CombinedFeed:
    """Feed of several parts, each of which ends by itself. Must be closed.

    Each part has at most one piece of frames that waits to be sent, and pieces are sent in the
    order in which they came: parts take turns, and none grows while the client is slow.
    """

    kind: FeedKind = "combined"
    has_heartbeats = True

    def __init__(self, parts: Sequence[Part], *, request_id: str = "") -> None:
        self._parts = parts
        self._request_id = request_id
        # Parts with frames to send; None for each part that has ended.
        self._ready: asyncio.Queue[Part | None] = asyncio.Queue()
        self._unopened = len(parts)
        self._has_opened_all = asyncio.Event()
        # Set once the client reads. Frames taken before could be older than what the client's
        # former stream has sent meanwhile.
        self._is_read = asyncio.Event()
        self._exhausted = 0

    async def open(self) -> None:
        """Open the feeds of all parts; those that take long go on opening afterwards.

        A part that cannot be opened gives a `part_error` event.
        """
        for part in self._parts:
            part.task = asyncio.create_task(self._run_part(part))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await self._has_opened_all.wait()

    @property
    def is_exhausted(self) -> bool:
        """True if nothing will follow in any part."""
        return self._exhausted == len(self._parts)

    @property
    def buffered_bytes(self) -> int:
        """Size of what the parts hold for the client."""
        return sum(part.buffered_bytes for part in self._parts)

    def set_sink(self, sink: Sink) -> None:
        """Send new frames of each part to a sink while its feed waits for more."""
        for part in self._parts:
            part.sink = sink

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield the frames of all parts until the last has ended."""
        self._is_read.set()
        for _ in self._parts:
            while (part := await self._ready.get()) is not None:
                frames, part.waiting_frames = part.waiting_frames, b""
                yield frames
                # Only now may the part send to the sink, past this iterator.
                del frames
                if part.taken is not None and not part.taken.done():
                    part.taken.set_result(None)

    def finish(self) -> None:
        """Let all parts end."""
        for part in self._parts:
            if part.feed is not None:
                part.feed.finish()
            elif part.task is not None:
                # The part is still opening, or has ended and has at most its error to send.
                part.task.cancel()

    def close(self) -> None:
        """Close the feeds of all parts."""
        for part in self._parts:
            part.sink = None
            if part.task is not None:
                part.task.cancel()
            part.close()

    async def _run_part(self, part: Part) -> None:
        """Hand over the frames of a part until it ends."""
        try:
            error = await self._send_part(part)
            if error is not None:
                await self._hand_over(part, make_part_error_frame(part, error))
        finally:
            self._ready.put_nowait(None)

    async def _send_part(self, part: Part) -> MarianneStreamError | None:
        """Open the feed of a part and hand over its frames; return the error that ends it."""
        try:
            feed = await self._open_part(part)
            if feed.is_exhausted:
                return None
            await self._is_read.wait()
            if part.kind == "log":
                # A log may have nothing to send for long; all other feeds begin with an event.
                await self._hand_over(part, part.make_start())
            async for frames in feed.frames():
                marked = part.mark(frames)
                # The client may be slow, and the next frames may be a long time coming.
                del frames
                if marked:
                    await self._hand_over(part, marked)
                del marked
        except MarianneStreamError as error:
            return error
        except Exception:
            # Decoded, the name could contain line breaks or terminal escape sequences.
            name = ascii(part.name[:MAX_LOGGED_CHARS])[1:-1]
            logger.exception(
                "part of a stream failed part=%s request_id=%s", name, self._request_id
            )
            return MarianneStreamError()
        finally:
            # What the feed watches is watched no longer, however long the other parts go on.
            part.close()
        return None

    async def _open_part(self, part: Part) -> Feed:
        """Open the feed of a part."""
        try:
            feed = part.feed = await part.open_feed()
            self._exhausted += feed.is_exhausted
        finally:
            self._unopened -= 1
            if not self._unopened:
                self._has_opened_all.set()
        feed.set_sink(part)
        return feed

    async def _hand_over(self, part: Part, frames: bytes) -> None:
        """Wait until the client has been sent the frames."""
        part.waiting_frames = frames
        part.taken = asyncio.get_running_loop().create_future()
        self._ready.put_nowait(part)
        await part.taken


def make_part_error_frame(part: Part, error: MarianneStreamError) -> bytes:
    """Make the event that ends a part."""
    data = PartErrorData(
        part=part.name,
        job_id=part.job_id,
        status=error.status,
        code=error.code,
        detail=error.detail,
    )
    return sse.frame(data.json_bytes(), event="part_error")
