"""The request connection: one question at a time, answers matched by id.

It must not know which methods there are, or why they are called.
"""

import asyncio
import itertools
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from marianne_stream.conductor.address import connect
from marianne_stream.conductor.pace import Pace
from marianne_stream.errors import (
    AnswerTooLargeError,
    ConductorAwayError,
    ConductorLostError,
    ConductorProtocolError,
    ConductorRefusedError,
    ConductorTimeoutError,
    ConductorUnavailableError,
)
from marianne_stream.wire import json_text, jsonrpc

logger = logging.getLogger(__name__)

T = TypeVar("T")

CALL_LIMIT_S = 10.0
IDLE_LIMIT_S = 30.0

# From here on an answer takes the loop for more than a millisecond.
LARGE_BYTES = 1024 * 1024
LARGE_PAUSE_S = 0.001

# A conductor that owes an answer for this long is given a new connection, once the old one is
# closed.
OVERDUE_LIMIT_S = 60.0


class RequestConnection:
    """One connection to the conductor for all requests, opened when it is needed.

    Requests go out one after the other: the conductor answers in order anyway, and one that waits
    here costs it nothing. While the answer to a call that was given up is still owed, further calls
    fail at once instead of queueing behind it.

    Args:
        path: the conductor's socket.
        call_limit_s: how long one call may take once it is sent.
        idle_limit_s: the connection is closed when nothing was asked for so long.
        message_limit_bytes: the largest answer that is taken.
    """

    def __init__(
        self,
        path: Path,
        *,
        call_limit_s: float = CALL_LIMIT_S,
        idle_limit_s: float = IDLE_LIMIT_S,
        message_limit_bytes: int = jsonrpc.MESSAGE_LIMIT_BYTES,
    ) -> None:
        self._path = path
        self._call_limit_s = call_limit_s
        self._idle_limit_s = idle_limit_s
        self._message_limit = message_limit_bytes
        self._numbers = itertools.count(1)
        self._turn = asyncio.Lock()
        self._link: _Link | None = None
        self._left = False
        self._idle_timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether a place at the conductor is taken."""
        return self._link is not None and self._link.lost is None

    async def call(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        kind: type[T],
        *,
        keeps_open: bool = True,
        pace: Pace | None = None,
    ) -> T:
        """Asks the conductor. Cancelling is safe: the answer is dropped when it comes.

        Args:
            method: the method's name.
            params: its parameters by name.
            kind: what the result is read as; fields that it does not name are skipped.
            keeps_open: whether the call counts against the idle limit.
            pace: the rests that requests of its kind leave the conductor.

        Raises:
            ConductorAwayError: nobody listens, or `leave` was called.
            ConductorLostError: the connection was lost on the way.
            ConductorUnavailableError: no connection can be made.
            ConductorTimeoutError: no answer within the limit, or an earlier one is still owed.
            ConductorRefusedError: the answer is an error.
            ConductorProtocolError: the answer cannot be read.
        """
        if pace is not None:
            await pace.rested()
        async with self._turn:
            link = await self._linked()
            try:
                raw = await self._exchange(link, method, params, pace)
            finally:
                if keeps_open or self._idle_timer is None:
                    self._watch_idleness()
        # Telling whose answer it is took one stretch of work, reading it takes another.
        size_bytes = len(memoryview(raw))
        await let_others_run(size_bytes)
        try:
            result = json_text.decode(raw, kind)
        except ValueError as error:
            raise ConductorProtocolError(
                f"the conductor answered {method} in another shape: {error}"
            ) from error
        await let_others_run(size_bytes)
        return result

    async def _exchange(
        self, link: "_Link", method: str, params: Mapping[str, Any] | None, pace: Pace | None
    ) -> msgspec.Raw:
        """Asks, and measures how long that kept the conductor busy, whoever waits for it still."""
        began = asyncio.get_running_loop().time()
        answered = True
        try:
            number = next(self._numbers)
            return await link.exchange(number, method, params, limit_s=self._call_limit_s)
        except (ConductorTimeoutError, ConductorLostError):
            answered = False
            raise
        finally:
            if answered and pace is not None:
                pace.took(asyncio.get_running_loop().time() - began)

    async def leave(self) -> None:
        """Gives the place back for good: calls in progress and later ones fail."""
        self._left = True
        await self.close()

    async def close(self) -> None:
        """Gives the place back. A call in progress fails; a later one connects again."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _linked(self) -> "_Link":
        """The open link, or a new one where there is none or it was lost."""
        self._check_left()
        link = self._link
        if link is not None and link.overdue_s > OVERDUE_LIMIT_S:
            await self.close()
        elif link is not None and not link.lost:
            link.check_overdue()
            return link
        if self._link is not None:
            await self.close()
        sock = await connect(self._path)
        try:
            self._check_left()
            streams = await asyncio.open_unix_connection(sock=sock, limit=self._message_limit)
        except BaseException:
            sock.close()
            raise
        self._link = _Link(*streams)
        return self._link

    def _check_left(self) -> None:
        """Raises ConductorAwayError where the place was given back for good."""
        if self._left:
            raise ConductorAwayError("this process is leaving")

    def _watch_idleness(self) -> None:
        """Closes the connection after the idle limit, counted from now."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        loop = asyncio.get_running_loop()
        self._idle_timer = loop.call_later(self._idle_limit_s, self._on_idle)

    def _on_idle(self) -> None:
        self._idle_timer = None
        if self._turn.locked():
            # Somebody is asking: that is not idle.
            self._watch_idleness()
            return
        link, self._link = self._link, None
        if link is not None:
            link.abort()


class _Link:
    """An open connection and the task that reads it. `lost` is set once nothing more can come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._pending: dict[int, tuple[str, asyncio.Future[msgspec.Raw]]] = {}
        # Calls that were given up after their time limit: their number, and when they were sent.
        self._overdue: dict[int, float] = {}
        self.lost: ConductorUnavailableError | None = None
        self._task = asyncio.create_task(self._read(), name="conductor-requests")

    @property
    def overdue_s(self) -> float:
        """How long the oldest answer that is still owed has been owed."""
        if not self._overdue:
            return 0.0
        return asyncio.get_running_loop().time() - min(self._overdue.values())

    def check_overdue(self) -> None:
        """Raises ConductorTimeoutError where an answer is still owed."""
        if self._overdue:
            raise ConductorTimeoutError(
                f"the conductor has owed an answer for {self.overdue_s:.0f} s"
            )

    async def exchange(
        self, number: int, method: str, params: Mapping[str, Any] | None, *, limit_s: float
    ) -> msgspec.Raw:
        """Sends one request and waits for its answer."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[msgspec.Raw] = loop.create_future()
        self._pending[number] = (method, answer)
        sent_at = loop.time()
        try:
            async with asyncio.timeout(limit_s):
                self._writer.write(jsonrpc.request(number, method, params))
                await self._writer.drain()
                return await answer
        except TimeoutError as error:
            self._overdue[number] = sent_at
            raise ConductorTimeoutError(
                f"the conductor did not answer {method} within {limit_s:g} s"
            ) from error
        except ConnectionError as error:
            raise self.lost or ConductorLostError("the conductor closed the connection") from error
        finally:
            del self._pending[number]

    async def _read(self) -> None:
        """Hands every answer to its call until the connection ends."""
        try:
            while True:
                line = await self._reader.readuntil(b"\n")
                await let_others_run(len(line))
                self._on_line(line)
        except asyncio.IncompleteReadError as error:
            half = " in the middle of an answer" if error.partial else ""
            self._lose(ConductorLostError(f"the conductor closed the connection{half}"))
        except asyncio.LimitOverrunError:
            self._lose(
                AnswerTooLargeError("the conductor's answer is larger than its protocol allows")
            )
        except OSError as error:
            self._lose(ConductorLostError(f"the connection to the conductor was lost: {error}"))
        finally:
            # Whatever ended this task: a link that nobody reads must not look alive.
            if self.lost is None:
                self._lose(ConductorProtocolError("the conductor's answers cannot be read on"))
            self._writer.close()

    def _on_line(self, line: bytes) -> None:
        """Resolves the call that a line answers; drops a line that answers none."""
        try:
            message = jsonrpc.message(line)
        except ValueError as error:
            self._fail_all(
                ConductorProtocolError(f"the conductor sent {line[:80]!r}, not JSON-RPC: {error}")
            )
            return
        call = self._pending.get(message.id) if isinstance(message.id, int) else None
        if call is None:
            self._on_stranger(message)
        elif not call[1].done():
            resolve(*call, message)

    def _on_stranger(self, message: jsonrpc.Message) -> None:
        """An answer that nobody waits for: late, or to something that was never asked."""
        if isinstance(message.id, int) and self._overdue.pop(message.id, None) is not None:
            logger.info("dropped a late answer of the conductor, to request %d", message.id)
        elif message.id is None and message.error is not None:
            self._fail_all(ConductorProtocolError(f"the conductor says: {message.error.message}"))
        else:
            logger.debug("dropped an answer that nobody waits for, to request %r", message.id)

    def _fail_all(self, error: ConductorUnavailableError) -> None:
        """Fails the calls in progress: what they were answered cannot be known."""
        for _, answer in self._pending.values():
            if not answer.done():
                answer.set_exception(error)

    def _lose(self, error: ConductorUnavailableError) -> None:
        self.lost = error
        self._fail_all(error)

    def abort(self) -> None:
        """Closes at once; the reading task ends by itself."""
        self._lose(ConductorLostError("the connection to the conductor was closed"))
        self._task.cancel()
        self._writer.close()

    async def close(self) -> None:
        """Closes, and returns when nobody reads any more."""
        self.abort()
        await asyncio.wait([self._task])


async def let_others_run(size_bytes: int) -> None:
    """Ends a stretch of work on a large answer: reading, decoding and using it are one each."""
    if size_bytes > LARGE_BYTES:
        # A sleep of no time would let only those run who are ready already.
        await asyncio.sleep(LARGE_PAUSE_S)


def resolve(method: str, answer: "asyncio.Future[msgspec.Raw]", message: jsonrpc.Message) -> None:
    """Gives a call its result, or the error that it was answered with."""
    if message.error is not None:
        error = message.error
        answer.set_exception(ConductorRefusedError(method, error.code, error.message))
    elif isinstance(message.result, msgspec.Raw):
        answer.set_result(message.result)
    else:
        answer.set_exception(
            ConductorProtocolError(f"the conductor answered {method} with neither result nor error")
        )
