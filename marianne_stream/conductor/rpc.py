"""JSON-RPC 2.0 connection to the conductor; answers are matched to requests by id."""

import asyncio
import itertools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from marianne_stream.conductor.connect import connect
from marianne_stream.errors import (
    ConductorDisconnectedError,
    ConductorProtocolError,
    ConductorResponseTooLargeError,
    ConductorRpcError,
    ConductorUnavailableError,
)
from marianne_stream.wire import json_text, jsonrpc

logger = logging.getLogger(__name__)

# Decoding an answer larger than this takes more than a millisecond.
LARGE_MESSAGE_BYTES = 1024 * 1024
# Repairing an answer of this size takes 5 ms.
DECODE_IN_THREAD_BYTES = 256 * 1024
YIELD_DELAY_S = 0.001

Raw = msgspec.Raw


class DaemonHealth(msgspec.Struct, frozen=True):
    """The fields of `daemon.health` that this server uses."""

    shutting_down: bool = False
    pid: int | None = None


class RpcConnection:
    """An open connection and the task that reads its answers.

    The first request is always `daemon.health`. Its answer shows that the conductor has given the
    connection one of its slots; until then the connection and its other requests wait in a queue.

    Args:
        on_idle: called when no answer is pending any more, or the connection is lost.

    Attributes:
        health: the answer to `daemon.health`, or its error.
        slot_acquired_at: loop time of that answer; minus infinity before it.
        close_error: the reason why the connection is closed; None while it is open.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        on_idle: Callable[["RpcConnection"], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._on_idle = on_idle
        self._ids = itertools.count(1)
        # By id: the method, the answer, and the loop time of the request.
        self._pending: dict[int, tuple[str, asyncio.Future[Raw], float]] = {}
        self.close_error: ConductorUnavailableError | None = None
        self.slot_acquired_at = float("-inf")
        self.health: asyncio.Future[DaemonHealth] = asyncio.get_running_loop().create_future()
        self.send("daemon.health").add_done_callback(self._on_health)
        self._task = asyncio.create_task(self._read(), name="conductor answers")

    @property
    def has_slot(self) -> bool:
        """True if the conductor has answered on this connection."""
        return self.health.done() and self.health.exception() is None

    @property
    def is_idle(self) -> bool:
        """True if no answer is pending."""
        return not self._pending

    @property
    def oldest_pending_s(self) -> float:
        """Age of the oldest pending request, in seconds; 0 if none is pending."""
        # A dict keeps the order of the requests.
        for _, _, sent_at in self._pending.values():
            return asyncio.get_running_loop().time() - sent_at
        return 0.0

    def send(self, method: str, params: Mapping[str, Any] | None = None) -> asyncio.Future[Raw]:
        """Send a request; return a future of the raw result, which may be cancelled.

        The future raises ConductorRpcError, ConductorDisconnectedError or ConductorProtocolError.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Raw] = loop.create_future()
        if self.close_error is not None:
            answer.set_exception(self.close_error)
            return answer
        request_id = next(self._ids)
        self._pending[request_id] = (method, answer, loop.time())
        self._writer.write(jsonrpc.make_request(request_id, method, params))
        return answer

    def close(self) -> None:
        """Close the connection; pending requests fail with ConductorDisconnectedError."""
        self._fail_pending(ConductorDisconnectedError("the connection to the conductor was closed"))
        self._task.cancel()
        self._writer.close()

    def _on_health(self, answer: asyncio.Future[Raw]) -> None:
        try:
            health = json_text.decode(answer.result(), DaemonHealth)
        except ConductorRpcError:
            # A conductor without this method has given the connection a slot as well.
            self._set_health(DaemonHealth())
        except ValueError as error:
            self._fail_health(
                ConductorProtocolError(f"daemon.health has an unexpected shape: {error}")
            )
        except ConductorUnavailableError as error:
            self._fail_health(error)
        else:
            self._set_health(health)

    def _set_health(self, health: DaemonHealth) -> None:
        self.slot_acquired_at = asyncio.get_running_loop().time()
        self.health.set_result(health)

    def _fail_health(self, error: ConductorUnavailableError) -> None:
        self.health.set_exception(error)
        # Mark the exception as retrieved: a request of the same visit has its own error.
        self.health.exception()

    async def _read(self) -> None:
        """Resolve requests with their answers until the connection ends."""
        try:
            while True:
                # No local variable: a cancelled task keeps its frame, and so up to 16 MiB.
                await self._on_line(await self._reader.readuntil(b"\n"))
        except asyncio.IncompleteReadError as error:
            half = " in the middle of an answer" if error.partial else ""
            self._fail_pending(
                ConductorDisconnectedError(f"the conductor closed the connection{half}")
            )
        except asyncio.LimitOverrunError:
            self._fail_pending(
                ConductorResponseTooLargeError(
                    "the conductor's answer is larger than its protocol allows"
                )
            )
        except OSError as error:
            self._fail_pending(
                ConductorDisconnectedError(f"the connection to the conductor was lost: {error}")
            )
        finally:
            # A connection without a reader must not look open.
            self._fail_pending(ConductorProtocolError("the reader of the connection has failed"))
            self._writer.close()

    async def _on_line(self, line: bytes) -> None:
        """Resolve the request that a line answers; drop a line that answers none."""
        await yield_to_loop(len(line))
        try:
            message = await decode_message(line)
        except ValueError as error:
            self._fail_pending(
                ConductorProtocolError(f"the conductor sent {line[:80]!r}, not JSON-RPC: {error}")
            )
            return
        request = self._pending.pop(message.id, None) if isinstance(message.id, int) else None
        if request is not None:
            resolve_request(request[0], request[1], message)
        elif message.id is None and message.error is not None:
            # An error without an id: the conductor could not parse one of the requests.
            self._fail_pending(
                ConductorProtocolError(f"the conductor says: {message.error.message}")
            )
            return
        else:
            logger.debug("answer dropped id=%r", message.id)
        if not self._pending:
            self._on_idle(self)

    def _fail_pending(self, error: ConductorUnavailableError) -> None:
        if self.close_error is not None:
            return
        self.close_error = error
        pending, self._pending = self._pending, {}
        for _, answer, _ in pending.values():
            if not answer.done():
                answer.set_exception(error)
                # Mark the exception as retrieved: the caller may have been cancelled.
                answer.exception()
        self._on_idle(self)


async def open_connection(path: Path, *, on_idle: Callable[[RpcConnection], None]) -> RpcConnection:
    """Connect to the conductor and send `daemon.health`. Cancelling is safe.

    Raises:
        ConductorUnreachableError: no process listens there.
        ConductorUnavailableError: the connection cannot be made.
    """
    sock = await connect(path)
    try:
        limit = jsonrpc.MAX_MESSAGE_BYTES
        streams = await asyncio.open_unix_connection(sock=sock, limit=limit)
    except BaseException:
        sock.close()
        raise
    return RpcConnection(*streams, on_idle=on_idle)


def resolve_request(method: str, answer: asyncio.Future[Raw], message: jsonrpc.Message) -> None:
    """Resolve a request with its result or its error."""
    if answer.done():
        return
    if message.error is not None:
        error = message.error
        answer.set_exception(ConductorRpcError(method, error.code, error.message))
    elif isinstance(message.result, msgspec.Raw):
        answer.set_result(message.result)
    else:
        answer.set_exception(
            ConductorProtocolError(f"the conductor answered {method} with neither result nor error")
        )


async def decode_message(line: bytes) -> jsonrpc.Message:
    """Decode a line, or raise ValueError if it is not JSON-RPC.

    A large one is decoded in a thread, since repairing it may take a second.
    """
    if len(line) > DECODE_IN_THREAD_BYTES:
        return await asyncio.to_thread(jsonrpc.parse_message, line)
    return jsonrpc.parse_message(line)


async def yield_to_loop(size_bytes: int) -> None:
    """Let other tasks run between the steps of handling a large answer."""
    if size_bytes > LARGE_MESSAGE_BYTES:
        # A sleep of 0 s would run only the tasks that are ready already.
        await asyncio.sleep(YIELD_DELAY_S)
