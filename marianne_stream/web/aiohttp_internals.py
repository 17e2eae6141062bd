"""Everything that relies on private parts of aiohttp.

Each class names what it assumes, and tests/web/test_aiohttp_internals.py has a test for each
assumption. setup.cfg bounds aiohttp's version; run these tests before raising the bound
(docs/explanation/decisions/0002-aiohttp-internals.md).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp_sse import EventSourceResponse
from multidict import CIMultiDict

from marianne_stream.wire.sse import MAX_WRITE_BYTES, EncodedFrames, chunk_overhead_bytes

# Size of a stream's transport buffer from which nothing is written directly. What a client has not
# taken of a stream is in four places: the kernel's buffer, the transport's (up to this and one
# write), the frames that are being sent, and the feed.
WRITE_BUFFER_BYTES = 16 * 1024


class ManagedRequestHandler(web.RequestHandler):
    """Connection that can be closed when it is idle, or aborted.

    Assumptions: `_request_in_progress` is true while a request is handled, `_messages` holds the
    pipelined requests that follow it, and `_task_handler` is the task that handles them.
    """

    __slots__ = ()

    @property
    def is_idle(self) -> bool:
        """True if no request is being handled or waiting."""
        return not self._request_in_progress and not self._messages

    def abort(self) -> None:
        """Close the connection at once; what has not been sent is lost."""
        if self._task_handler is not None:
            self._task_handler.cancel()
        if self.transport is not None:
            # After the cancelled task has run: asyncio's sendfile fails if its transport is gone.
            self._loop.call_soon(self.transport.abort)


class WrappedServer(web.Server):
    """Server with connections of another class, and a handler around the inner server's.

    Assumptions: aiohttp calls the server for each new connection, and the options of a connection
    are in `_kwargs`.
    """

    def __init__(
        self,
        inner: web.Server,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        make_connection: Callable[..., web.RequestHandler],
        **options: Any,
    ) -> None:
        self._make_connection = make_connection
        super().__init__(
            handler,
            request_factory=inner.request_factory,
            handler_cancellation=inner.handler_cancellation,
            **options,
        )

    def __call__(self) -> web.RequestHandler:
        """Create a connection."""
        return self._make_connection(self, loop=self._loop, **self._kwargs)


class WrappingAppRunner(web.AppRunner):
    """AppRunner whose server is replaced by `wrap_server`.

    Assumption: `setup` takes the server from `_make_server`.
    """

    def wrap_server(self, inner: web.Server) -> web.Server:
        """Return the server to use in place of aiohttp's own."""
        raise NotImplementedError

    async def _make_server(self) -> web.Server:
        return self.wrap_server(await super()._make_server())


class DirectEventSourceResponse(EventSourceResponse):
    """EventSourceResponse that can write to the transport itself.

    It departs from aiohttp_sse in three points, so that ten thousand streams fit into a process and
    an event reaches a thousand clients in milliseconds
    (docs/explanation/decisions/0003-sse-fast-path.md):

    - `prepare` is that of `web.StreamResponse`: aiohttp_sse starts a ping task for each response
      and sets TCP_USER_TIMEOUT, which the listening socket sets once for all streams.
      `is_connected`, `wait` and `stop_streaming` need that task, and are not used.
    - The headers are dropped once they have been sent, about 1 KB for each stream.
    - `write_direct` sends frames that were encoded once for all clients. `send` is not used.

    Assumptions: `web.StreamResponse.prepare` does all that HTTP needs; the table of headers is
    `_headers`, and is not read after the headers have been sent; `_req` is the request until the
    body has ended; bytes written to the transport follow those that `write` has returned for, and
    a body without a length is framed in chunks for HTTP/1.1 and not at all for HTTP/1.0.
    """

    # In a `__dict__`, so many names would exceed what dictionaries of a class share: each stream
    # would have a table of 2 KB. Subclasses have slots as well.
    __slots__ = ("_has_chunk_framing", "_protocol", "_writer")

    def __init__(self) -> None:
        super().__init__()
        # aiohttp decides by the request whether the connection is kept.
        del self.headers["Connection"]
        self._protocol: web.RequestHandler | None = None
        self._writer: AbstractStreamWriter | None = None
        self._has_chunk_framing = True

    @property
    def request(self) -> web.BaseRequest | None:
        """The request, while it is being answered."""
        return self._req

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection's transport, or None if the connection is closed or detached."""
        return self._protocol.transport if self._protocol is not None else None

    @property
    def unsent_bytes(self) -> int:
        """Bytes in the transport's buffer.

        With TLS, up to 64 KiB in the transport below it are not included.
        """
        transport = self.transport
        return transport.get_write_buffer_size() if transport is not None else 0

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the headers, and choose the framing that the client's version of HTTP can read."""
        if request.version < HttpVersion11:
            # Without chunks, the body ends with the connection (RFC 9112 section 6.3).
            self.headers["Connection"] = "close"
            self.force_close()
            self._has_chunk_framing = False
        self._writer = await web.StreamResponse.prepare(self, request)
        # A new table: one that is cleared keeps its memory.
        self._headers = CIMultiDict()
        self._protocol = request.protocol
        if request.transport is not None:
            request.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        return self._writer

    def framed_size(self, size_bytes: int) -> int:
        """Return how many bytes the transport is given for one write of so many bytes."""
        return size_bytes + (chunk_overhead_bytes(size_bytes) if self._has_chunk_framing else 0)

    async def wait_writable(self) -> None:
        """Wait until the client has taken most of what was written."""
        if self._writer is not None:
            await self._writer.drain()

    def write_direct(self, frames: EncodedFrames) -> int:
        """Write frames to the transport without waiting, if its buffer has room.

        Return the number of bytes written, with the framing; 0 if the frames were refused. Frames
        larger than one write are refused as well, since the buffer would have to hold what the
        client does not take of them.
        """
        protocol = self._protocol
        if protocol is None or protocol.writing_paused or len(frames.data) > MAX_WRITE_BYTES:
            return 0
        transport = protocol.transport
        if transport is None or transport.is_closing():
            return 0
        data = frames.chunk if self._has_chunk_framing else frames.data
        transport.write(data)
        return len(data)

    async def flush(self) -> None:
        """Wait until the transport's buffer is empty."""
        transport = self.transport
        if transport is None or self._writer is None:
            return
        # `drain` waits while the buffer holds more than the limit.
        transport.set_write_buffer_limits(high=1, low=0)
        await self._writer.drain()
        if not transport.is_closing():
            transport.set_write_buffer_limits()

    def abort_transport(self) -> None:
        """Close the connection at once; what has not been sent is lost."""
        transport = self.transport
        if transport is not None:
            transport.abort()

    def detach(self) -> None:
        """Let go of the connection, which may carry another response from now on."""
        self._protocol = self._writer = None
