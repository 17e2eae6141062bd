"""Every error that marianne-stream raises on purpose, on one page.

    MarianneStreamError                            500 internal_error
    ├── BadRequestError                            400 bad_request
    │   └── BadParameterError                      400 bad_parameter
    │       └── PatternTooComplexError             400 pattern_too_complex
    ├── JobNotFoundError                           404 job_not_found
    ├── LogNotFoundError                           404 log_not_found
    ├── LogForbiddenError                          403 log_forbidden
    ├── LogTooLargeError                           413 log_too_large
    ├── NotOnEdgeError                             501 not_available_on_edge
    ├── CursorExpiredError                         410 cursor_expired
    ├── UnauthenticatedError                       401 unauthenticated
    │   └── InvalidTokenError                      401 invalid_token
    ├── CrossOriginFormError                       403 cross_origin
    ├── HostNotAllowedError                        421 host_not_allowed
    ├── LoginRateLimitError                        429 login_rate_limited
    ├── TooManyDownloadsError                      429 too_many_downloads
    ├── TooManyDownloadsPerClientError             429 too_many_downloads_per_client
    ├── TooManyStreamsPerClientError               429 too_many_streams_per_client
    ├── TooManySearchesError                       429 too_many_searches
    ├── TooManyStreamsError                        503 too_many_streams
    ├── ReadLimitError                             503 read_limit
    ├── ShuttingDownError                          503 shutting_down
    ├── StateUnavailableError                      503 state_unavailable
    │   ├── ConductorUnavailableError              503 conductor_unavailable
    │   │   ├── ConductorUnreachableError          503 conductor_unreachable
    │   │   ├── ConductorBusyError                 503 conductor_busy
    │   │   ├── ConductorDisconnectedError         503 conductor_disconnected
    │   │   ├── ConductorTimeoutError              503 conductor_timeout
    │   │   ├── ConductorRpcError                  503 conductor_error
    │   │   └── ConductorProtocolError             503 conductor_protocol
    │   │       └── ConductorResponseTooLargeError 503 conductor_protocol
    │   └── StateUnreadableError                   503 state_unreadable
    │       └── CorruptStateError                  503 state_corrupt
    ├── SettingsError                              (never over HTTP: the command line exits with 2)
    ├── SourceNameInUseError                       (never over HTTP: the server ends at its start)
    ├── LockLostError                              (never over HTTP: the relay stops writing)
    └── CliError                                   (never over HTTP: a client command fails)
        ├── CliJobNotFoundError                    (exit code 3)
        ├── CliLogNotFoundError                    (exit code 6)
        ├── ServerUnreachableError                 (exit code 5, after the last retry)
        └── AccessDeniedError                      (exit code 5)

`detail` is for the client and contains no path of the host. The message is for the log.
"""

from typing import ClassVar


class MarianneStreamError(Exception):
    """Base class of all errors.

    Args:
        message: one sentence for the log: what was received and what was expected.
        detail: one sentence for the client; default: the detail of the class.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    default_detail: ClassVar[str] = "The server failed to answer this request."
    # Exit code of the command line.
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", *, detail: str | None = None) -> None:
        self.detail = detail or self.default_detail
        super().__init__(message or self.detail)


class BadRequestError(MarianneStreamError):
    """The request is invalid."""

    status = 400
    code = "bad_request"
    default_detail = "The request cannot be understood."


class BadParameterError(BadRequestError):
    """A parameter is invalid: out of range, of the wrong type, not finite, or given twice."""

    code = "bad_parameter"
    default_detail = "A parameter is not valid."


class PatternTooComplexError(BadParameterError):
    """The regular expression compiles to a program that is too slow to match."""

    code = "pattern_too_complex"
    default_detail = "The regular expression is too complex."


class JobNotFoundError(MarianneStreamError):
    """The backend answered that the job does not exist."""

    status = 404
    code = "job_not_found"
    default_detail = "Score not found."

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(detail=f"Score not found: {job_id}")


class LogNotFoundError(MarianneStreamError):
    """The job exists, but no log was found in any of its possible places.

    Args:
        detail: sentence for every client; it names folders by placeholders, as `{workspace}`.
        detail_with_paths: the same with paths of the host, for clients that may see all jobs.
    """

    status = 404
    code = "log_not_found"
    default_detail = "This job has no log."

    def __init__(
        self, message: str = "", *, detail: str | None = None, detail_with_paths: str | None = None
    ) -> None:
        super().__init__(message, detail=detail)
        self.detail_with_paths = detail_with_paths or self.detail


class LogForbiddenError(MarianneStreamError):
    """The log must not be read: for example, it is a link or outside of the job's folder."""

    status = 403
    code = "log_forbidden"
    default_detail = "The log may not be read: it is not a regular file inside the job's folder."


class LogTooLargeError(MarianneStreamError):
    """The log is larger than `max_download_bytes`."""

    status = 413
    code = "log_too_large"
    default_detail = "Log file too large for download. Use the streaming endpoint instead."


class NotOnEdgeError(MarianneStreamError):
    """An edge has no files: only the origin, the server on the conductor's machine, can answer."""

    status = 501
    code = "not_available_on_edge"
    default_detail = "Only the conductor's own server has this, and its address is not known here."

    def __init__(self, job_id: str, *, origin_url: str | None, detail: str | None = None) -> None:
        self.job_id = job_id
        self.origin_url = origin_url
        super().__init__(detail=detail)


class CursorExpiredError(MarianneStreamError):
    """The cursor matches no remaining file of the log."""

    status = 410
    code = "cursor_expired"
    default_detail = "The cursor matches no remaining part of this log."


class UnauthenticatedError(MarianneStreamError):
    """The request has neither a token nor a valid session."""

    status = 401
    code = "unauthenticated"
    default_detail = "A token is required: send it as a Bearer token, or sign in at /login."


class InvalidTokenError(UnauthenticatedError):
    """The request has a token that is unknown."""

    code = "invalid_token"
    default_detail = "Unknown token."


class CrossOriginFormError(MarianneStreamError):
    """The form was sent by a page of another origin."""

    status = 403
    code = "cross_origin"
    default_detail = "Cross-origin form rejected: the Origin header does not match this server."


class HostNotAllowedError(MarianneStreamError):
    """The Host header names a host that is not in `allowed_hosts`."""

    status = 421
    code = "host_not_allowed"
    default_detail = "Host name not allowed: this server answers for those in allowed_hosts."


class LoginRateLimitError(MarianneStreamError):
    """Too many failed logins of one address are waiting for their answer."""

    status = 429
    code = "login_rate_limited"
    default_detail = "Too many failed attempts to sign in. Try again in a moment."


class TooManyDownloadsError(MarianneStreamError):
    """The limit of simultaneous downloads is reached."""

    status = 429
    code = "too_many_downloads"
    default_detail = "Too many logs are being downloaded at once. Try again in a moment."


class TooManyDownloadsPerClientError(MarianneStreamError):
    """The limit of simultaneous downloads by one address is reached."""

    status = 429
    code = "too_many_downloads_per_client"
    default_detail = "Too many logs are being downloaded by your address. Try again in a moment."


class TooManyStreamsPerClientError(MarianneStreamError):
    """The limit of open streams to one address is reached."""

    status = 429
    code = "too_many_streams_per_client"
    default_detail = "Too many streams are open to your address. Try again in a moment."


class TooManySearchesError(MarianneStreamError):
    """The limit of simultaneous searches in one job's log is reached."""

    status = 429
    code = "too_many_searches"
    default_detail = "Too many searches of this job's log are running. Try again in a moment."


class TooManyStreamsError(MarianneStreamError):
    """The limit of open streams is reached."""

    status = 503
    code = "too_many_streams"
    default_detail = "Too many streams are open. Try again in a moment."


class ReadLimitError(MarianneStreamError):
    """The request has read as many bytes of a log as one request may."""

    status = 503
    code = "read_limit"
    default_detail = "This log is too large for one request. Try again: the progress is kept."


class ShuttingDownError(MarianneStreamError):
    """The server is shutting down."""

    status = 503
    code = "shutting_down"
    default_detail = "This server is shutting down. Try again in a moment."


class StateUnavailableError(MarianneStreamError):
    """No backend could be read, so the state is unknown. Never the same as "not found"."""

    status = 503
    code = "state_unavailable"
    default_detail = "Neither the conductor nor another backend can be read right now."
    # Duration of a response that could not be used, in seconds: polling is spaced by it.
    cost_s = 0.0


class ConductorUnavailableError(StateUnavailableError):
    """The conductor could not be asked, or its response could not be used."""

    code = "conductor_unavailable"
    default_detail = "The conductor is unavailable right now."


class ConductorUnreachableError(ConductorUnavailableError):
    """No process listens on the conductor's socket, or the conductor is shutting down."""

    code = "conductor_unreachable"
    default_detail = "The conductor is away."


class ConductorBusyError(ConductorUnavailableError):
    """The conductor accepts connections, but has answered none of this server's for 1 s."""

    code = "conductor_busy"
    default_detail = "The conductor does not answer: all of its connection slots may be taken."


class ConductorDisconnectedError(ConductorUnavailableError):
    """The connection ended before the response was complete."""

    code = "conductor_disconnected"
    default_detail = "The connection to the conductor was lost."


class ConductorTimeoutError(ConductorUnavailableError):
    """The conductor did not respond within the time limit of a call."""

    code = "conductor_timeout"
    default_detail = "The conductor did not answer in time."


class ConductorRpcError(ConductorUnavailableError):
    """The conductor responded with a JSON-RPC error; `rpc_code` is its code (section 5.1)."""

    code = "conductor_error"
    default_detail = "The conductor refused the request."

    def __init__(self, method: str, rpc_code: int, message: str) -> None:
        self.method = method
        self.rpc_code = rpc_code
        super().__init__(f"the conductor refused {method}: {message} ({rpc_code})")


class ConductorProtocolError(ConductorUnavailableError):
    """The conductor sent a message that violates its protocol."""

    code = "conductor_protocol"
    default_detail = "The conductor sent an invalid answer."


class ConductorResponseTooLargeError(ConductorProtocolError):
    """The response exceeds the protocol's maximum message size."""


class StateUnreadableError(StateUnavailableError):
    """The registry or the folder of checkpoints cannot be read."""

    code = "state_unreadable"
    default_detail = "The state on disk cannot be read."


class CorruptStateError(StateUnreadableError):
    """The stored state of one job is damaged or incomplete. Other jobs are not affected."""

    code = "state_corrupt"
    default_detail = "The stored state of this job cannot be read."


class SettingsError(MarianneStreamError):
    """A setting is invalid. The message names it, the received value and the allowed values."""

    exit_code = 2


class SourceNameInUseError(MarianneStreamError):
    """Another relay publishes under the same name, or has published in another format."""


class LockLostError(MarianneStreamError):
    """A relay's write was rejected because another relay holds the lock of its source."""


class CliError(MarianneStreamError):
    """A client command cannot go on because of the server's response."""


class CliJobNotFoundError(CliError):
    """The job does not exist on the server."""

    exit_code = 3


class CliLogNotFoundError(CliError):
    """The job exists on the server, but has no log."""

    exit_code = 6


class ServerUnreachableError(CliError):
    """The server cannot be reached, or asks the client to come back: a retry may succeed.

    `retry_after_s` is the delay that the server asked for; None if it named none.
    """

    exit_code = 5

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class AccessDeniedError(CliError):
    """The server rejects the token, asks for one, or does not answer for this host name."""

    exit_code = 5
