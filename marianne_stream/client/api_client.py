"""HTTP client of a server: requests, and the meaning of its errors.

Only `error_for_status` and `connection_error` decide whether a retry makes sense.
"""

import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import msgspec

from marianne_stream.client.address import ServerAddress
from marianne_stream.client.api_models import ErrorBody
from marianne_stream.client.cli_errors import (
    AccessDeniedError,
    CliError,
    CliFileForbiddenError,
    CliFileNotFoundError,
    CliJobNotFoundError,
    ServerUnreachableError,
)
from marianne_stream.client.messages import ConnectionStatus, StderrReporter
from marianne_stream.client.retry import Retrier, RetryPolicy
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.client.server_clock import ServerClock
from marianne_stream.errors import (
    FilesDisabledError,
    JobFileForbiddenError,
    JobFileNotFoundError,
    JobNotFoundError,
    LogForbiddenError,
    LogNotFoundError,
    MarianneStreamError,
    SettingsError,
)
from marianne_stream.version import VERSION

CONNECT_TIMEOUT_S = 10.0
RESPONSE_TIMEOUT_S = 30.0
# Three times the server's heartbeat interval of 15 s.
READ_TIMEOUT_S = 45.0

MAX_ERROR_BODY_BYTES = 64 * 1024
MAX_RETRY_AFTER_S = 60.0

# Statuses for which a retry does not help.
PERMANENT_ERRORS: dict[int, type[MarianneStreamError]] = {
    400: SettingsError,
    403: AccessDeniedError,
    404: CliJobNotFoundError,
    421: AccessDeniedError,
}

# Errors that concern the log or a file of one job, by their code.
LOG_ERRORS: dict[str, type[MarianneStreamError]] = {
    LogNotFoundError.code: CliFileNotFoundError,
    LogForbiddenError.code: CliFileForbiddenError,
    JobFileNotFoundError.code: CliFileNotFoundError,
    JobFileForbiddenError.code: CliFileForbiddenError,
    FilesDisabledError.code: CliFileNotFoundError,
}

CONNECTION_ERRORS = (aiohttp.ClientError, OSError, TimeoutError)

# Parameters of a request; a sequence is a repeated parameter.
QueryParams = Mapping[str, str | Sequence[str]]

BodyT = TypeVar("BodyT")


class ApiClient:
    """Client of one server; a context manager that owns its connections."""

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
        self.connection_status = ConnectionStatus(reporter)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # No limit of connections: each watched job has one.
        unix = self._address.socket_path
        connector = aiohttp.UnixConnector(unix, limit=0) if unix else aiohttp.TCPConnector(limit=0)
        # Not `text/event-stream`: errors are sent as JSON.
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
        params: QueryParams,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, and yield its response inside the context. Cancelling is safe.

        `path` is encoded. `timeout_s` limits the whole response; None is for a stream.

        Raises:
            ServerUnreachableError: the request failed, or the connection was lost in the context; a
                retry may succeed.
            CliError, SettingsError: the response is an error for which a retry does not help.
        """
        if self._session is None:
            raise RuntimeError("the context is not entered")
        timeout = aiohttp.ClientTimeout(
            total=timeout_s, sock_connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S
        )
        sent_s = time.time()
        try:
            # No redirects: the token is for this server only.
            async with self._session.get(
                self._address.url(path),
                params=params,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                self.clock.read_headers(response.headers, sent_s, time.time())
                if response.status not in (200, 204, 206):
                    raise await self._read_error(response, path)
                yield response
        except CONNECTION_ERRORS as error:
            raise connection_error(error, self._address.text, timeout_s) from error

    async def get_json(
        self,
        path: str,
        params: QueryParams,
        body_type: type[BodyT],
        *,
        timeout_s: float = RESPONSE_TIMEOUT_S,
    ) -> BodyT:
        """Request a JSON response once; raises as `open` does."""
        async with self.open(path, params, timeout_s=timeout_s) as response:
            body = await response.read()
        try:
            return msgspec.json.decode(body, type=body_type)
        except (msgspec.DecodeError, ValueError) as error:
            raise CliError(
                f"{self._address.text} sent an invalid response: is it a marianne-stream?"
            ) from error

    async def get_json_with_retry(
        self, path: str, params: QueryParams, body_type: type[BodyT]
    ) -> BodyT:
        """Request a JSON response, with retries; raises as `open` does."""
        retrier = self.make_retrier()
        while True:
            try:
                body = await self.get_json(path, params, body_type)
            except ServerUnreachableError as error:
                await retrier.wait(error)
            else:
                retrier.on_connected()
                return body

    def quietly(self) -> Self:
        """Return this client for a stream whose loss is not reported."""
        other = copy(self)
        other.connection_status = ConnectionStatus(StderrReporter(lambda _: None))
        return other

    def make_retrier(self) -> Retrier:
        """Return a retrier for one request or stream."""
        return Retrier(self._retry_policy, self.connection_status)

    async def _read_error(self, response: aiohttp.ClientResponse, path: str) -> MarianneStreamError:
        """Read an error response to a request for a path."""
        body = b""
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_ERROR_BODY_BYTES:
                break
        try:
            error = msgspec.json.decode(body, type=ErrorBody)
        except (msgspec.DecodeError, ValueError):
            error = ErrorBody("")
        detail = error.detail
        if response.status == 401 and self._token is None:
            detail = "A token is needed"
        if error.code == JobNotFoundError.code:
            # The API has the words of Marianne's dashboard.
            detail = detail.replace("Score", "Job", 1)
        if response.status == 307:
            # The address of an origin, and a path with as many segments as the requested one.
            location = response.headers.get("Location", "").partition("?")[0]
            origin, *segments = location.rsplit("/", path.count("/"))
            if origin and segments[:1] == ["api"]:
                detail = f"only {origin} has this: name that server with --url, and a token for it"
        detail = strip_to_one_line(detail).rstrip(".")
        detail = detail or f"{self._address.text} answered {response.status}"
        if error.code in LOG_ERRORS:
            return LOG_ERRORS[error.code](detail)
        return error_for_status(response.status, detail, response.headers.get("Retry-After", ""))


def error_for_status(status: int, detail: str, retry_after: str) -> MarianneStreamError:
    """Return the error for a status: whether a retry makes sense, and the exit code.

    `detail` is the sentence of the response. A Retry-After header is ignored if it is not a number
    of seconds.
    """
    if status == 429 or status >= 500:
        if not (retry_after.isascii() and retry_after.isdigit()):
            return ServerUnreachableError(detail)
        return ServerUnreachableError(
            detail, retry_after_s=min(float(retry_after), MAX_RETRY_AFTER_S)
        )
    if status == 401:
        return AccessDeniedError(
            f"{detail}; set a token file with --token-file or MARIANNE_STREAM_TOKEN_FILE, or a "
            "token with MARIANNE_STREAM_TOKEN"
        )
    if status in PERMANENT_ERRORS:
        return PERMANENT_ERRORS[status](detail)
    return CliError(f"the server answered {status}: {detail}")


def connection_error(
    error: Exception, address: str, timeout_s: float | None
) -> ServerUnreachableError:
    """Return the error for a failed connection, with the reason in a sentence.

    `timeout_s` was the limit of the whole response.
    """
    reason = "the connection was lost"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLError):
        reason = "its certificate is not trusted"
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        reason = "unknown host name"
    elif isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        reason = os.strerror(number) if number and number > 0 else str(error.os_error)
    elif isinstance(error, aiohttp.ConnectionTimeoutError):
        reason = f"no answer in {CONNECT_TIMEOUT_S:.0f} s"
    elif isinstance(error, aiohttp.SocketTimeoutError):
        reason = f"no data for {READ_TIMEOUT_S:.0f} s"
    elif isinstance(error, TimeoutError) and timeout_s is not None:
        reason = f"no response in {timeout_s:.0f} s"
    elif isinstance(error, aiohttp.ClientResponseError):
        reason = "the response is not HTTP"
    return ServerUnreachableError(f"{address} cannot be reached: {reason}")
