"""The server as a client sees it: connections to it, and what its answers mean.

Whether to try again is decided in `parse_unavailable_error` and `lost` alone. It must not know
what is shown.
"""

import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import msgspec

from marianne_stream.client.address import ServerAddress
from marianne_stream.client.api_models import ErrorBody
from marianne_stream.client.messages import ConnectionStatus, StderrReporter
from marianne_stream.client.retry import Retrier, RetryPolicy
from marianne_stream.client.server_clock import ServerClock, estimate_offset
from marianne_stream.errors import (
    AccessDeniedError,
    CliError,
    CliJobNotFoundError,
    CliLogNotFoundError,
    LogNotFoundError,
    MarianneStreamError,
    ServerUnreachableError,
    SettingsError,
)
from marianne_stream.version import VERSION

CONNECT_TIMEOUT_S = 10.0
RESPONSE_TIMEOUT_S = 30.0
# The server says something every 15 s: after three times that the connection is dead.
READ_TIMEOUT_S = 45.0

MAX_ERROR_BODY_BYTES = 64 * 1024
MAX_RETRY_AFTER_S = 60.0

# Statuses that stay, whatever is done about them here.
PERMANENT_ERRORS: dict[int, type[MarianneStreamError]] = {
    400: SettingsError,
    403: AccessDeniedError,
    404: CliJobNotFoundError,
    421: AccessDeniedError,
}

CONNECTION_ERRORS = (aiohttp.ClientError, OSError, TimeoutError)

BodyT = TypeVar("BodyT")


class ApiClient:
    """One server; a context that holds its connections.

    Args:
        address: where it is.
        token: what it is sent as a bearer token; None where there is none.
        retry_policy: how long it is waited for.
        reporter: where it is said that it is.

    Attributes:
        reporter: the same.
        clock: the server's time.
    """

    def __init__(
        self,
        address: ServerAddress,
        *,
        token: str | None = None,
        retry_policy: RetryPolicy,
        reporter: StderrReporter,
    ) -> None:
        self._address = address
        self._token = token
        self._retry_policy = retry_policy
        self.reporter = reporter
        self.clock = ServerClock()
        self._connection_status = ConnectionStatus(reporter)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # No limit of connections: each job that is watched has one.
        unix = self._address.socket_path
        connector = aiohttp.UnixConnector(unix, limit=0) if unix else aiohttp.TCPConnector(limit=0)
        # `*/*`, and not an event stream by name: an error is then answered as what it is.
        headers = {"Accept": "*/*", "User-Agent": f"marianne-stream/{VERSION}"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        self._session = aiohttp.ClientSession(connector=connector, headers=headers)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def open(
        self,
        path: str,
        params: Mapping[str, str],
        *,
        last_event_id: str = "",
        timeout_s: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request, and its answer while the context lasts; cancelling is safe.

        Args:
            path: what is asked for, encoded.
            params: the parameters.
            last_event_id: where to resume; "" for the beginning.
            timeout_s: how long all of it may take; None for a stream.

        Raises:
            UnreachableError: it failed, inside the context as well, and may not fail again.
            TerminalError, SettingsError: the answer is an error, and stays one.
        """
        if self._session is None:
            raise RuntimeError("the context is not entered")
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        timeout = aiohttp.ClientTimeout(
            total=timeout_s, sock_connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S
        )
        asked_s = time.time()
        try:
            # The token is for this server: nobody else is asked in its place.
            async with self._session.get(
                self._address.url(path),
                params=params,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                if bounds := estimate_offset(
                    response.headers.get("Date", ""), asked_s, time.time()
                ):
                    self.clock.narrow(bounds)
                if response.status not in (200, 204):
                    raise await self._read_error(response)
                yield response
        except CONNECTION_ERRORS as error:
            raise connection_error(error, self._address.text) from error

    async def get_json(
        self,
        path: str,
        params: Mapping[str, str],
        body_type: type[BodyT],
        *,
        timeout_s: float = RESPONSE_TIMEOUT_S,
    ) -> BodyT:
        """Asks once for an answer of JSON; raises as `open` does."""
        async with self.open(path, params, timeout_s=timeout_s) as response:
            body = await response.read()
        try:
            return msgspec.json.decode(body, type=body_type)
        except (msgspec.DecodeError, ValueError) as error:
            raise CliError(
                f"{self._address.text} gave an answer that is none of marianne-stream's"
            ) from error

    async def get_json_with_retry(
        self, path: str, params: Mapping[str, str], body_type: type[BodyT]
    ) -> BodyT:
        """Asks until there is an answer, or patience is at an end; raises as `open` does."""
        tries = self.make_retrier()
        while True:
            try:
                answer = await self.get_json(path, params, body_type)
            except ServerUnreachableError as error:
                await tries.wait(error)
            else:
                tries.on_connected()
                return answer

    def make_retrier(self) -> Retrier:
        """The tries of something that is asked for."""
        return Retrier(self._retry_policy, self._connection_status)

    async def _read_error(self, response: aiohttp.ClientResponse) -> MarianneStreamError:
        """What an answer that is an error means."""
        body = b""
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_ERROR_BODY_BYTES:
                break
        try:
            fault = msgspec.json.decode(body, type=ErrorBody)
        except (msgspec.DecodeError, ValueError):
            fault = ErrorBody("")
        detail = fault.detail
        if response.status == 401 and self._token is None:
            detail = "A token is needed"
        detail = detail.rstrip(".") or f"{self._address.text} answered {response.status}"
        if fault.code == LogNotFoundError.code:
            return CliLogNotFoundError(detail)
        return error_for_status(response.status, detail, response.headers.get("Retry-After", ""))


def error_for_status(status: int, detail: str, retry_after: str) -> MarianneStreamError:
    """What an answer that is an error means: whether it may pass, and what to exit with.

    Args:
        status: the answer's status.
        detail: its sentence.
        retry_after: its Retry-After, in seconds; what is no number counts as none.
    """
    if status == 429 or status >= 500:
        if not (retry_after.isascii() and retry_after.isdigit()):
            return ServerUnreachableError(detail)
        return ServerUnreachableError(
            detail, retry_after_s=min(float(retry_after), MAX_RETRY_AFTER_S)
        )
    if status == 401:
        return AccessDeniedError(
            f"{detail}; name a file that holds one with --token-file or "
            "MARIANNE_STREAM_TOKEN_FILE, or give it as MARIANNE_STREAM_TOKEN"
        )
    if status in PERMANENT_ERRORS:
        return PERMANENT_ERRORS[status](detail)
    return CliError(f"the server answered {status}: {detail}")


def connection_error(error: Exception, address: str) -> ServerUnreachableError:
    """Why a connection failed, in a sentence."""
    reason = "the connection was lost"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLError):
        reason = "its certificate is not trusted here"
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        reason = "no host has that name"
    elif isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        reason = os.strerror(number) if number and number > 0 else str(error.os_error)
    elif isinstance(error, aiohttp.ConnectionTimeoutError):
        reason = f"no answer in {CONNECT_TIMEOUT_S:.0f} s"
    elif isinstance(error, TimeoutError):
        reason = "it says nothing"
    elif isinstance(error, aiohttp.ClientResponseError):
        reason = "what answers there does not speak HTTP"
    return ServerUnreachableError(f"{address} cannot be reached: {reason}")
