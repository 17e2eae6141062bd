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
    """The root of the tree.

    Args:
        message: one sentence for the log: what was got and what was expected.
        detail: one sentence for the client; the class's own where it is left out.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    default_detail: ClassVar[str] = "The server failed to answer this request."
    # What the command line exits with.
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", *, detail: str | None = None) -> None:
        self.detail = detail or self.default_detail
        super().__init__(message or self.detail)


class BadRequestError(MarianneStreamError):
    """The request cannot be understood."""

    status = 400
    code = "bad_request"
    default_detail = "The request cannot be understood."


class BadParameterError(BadRequestError):
    """A parameter is out of its range, not of its type, not finite, or given twice."""

    code = "bad_parameter"
    default_detail = "A parameter is not valid."


class PatternTooComplexError(BadParameterError):
    """A regular expression whose compiled program is so large that matching a line takes long."""

    code = "pattern_too_complex"
    default_detail = "The regular expression is too complex."


class JobNotFoundError(MarianneStreamError):
    """The source of state was asked, and says that there is no such job."""

    status = 404
    code = "job_not_found"
    default_detail = "Score not found."

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(detail=f"Score not found: {job_id}")


class LogNotFoundError(MarianneStreamError):
    """The job is known, and none of the places where its log may lie has one.

    Args:
        message: one sentence for the log.
        detail: what every client may read: it names places by words as `{workspace}`.
        detail_with_paths: the same with the host's paths, for clients that may see all jobs.
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
    """Something lies where the log should, and it is not to be read."""

    status = 403
    code = "log_forbidden"
    default_detail = "The log may not be read: it is no regular file inside the job's folder."


class LogTooLargeError(MarianneStreamError):
    """The log is larger than what is given as one text."""

    status = 413
    code = "log_too_large"
    default_detail = "Log file too large for download. Use the streaming endpoint instead."


class NotOnEdgeError(MarianneStreamError):
    """An edge has no files: only the server of the conductor's machine, the origin, can answer.

    Args:
        job_id: the job, as the origin names it.
        origin_url: where that is; None where it is not known.
        detail: one sentence for the client.
    """

    status = 501
    code = "not_available_on_edge"
    default_detail = "Only the conductor's own server has this, and its address is not known here."

    def __init__(self, job_id: str, *, origin_url: str | None, detail: str | None = None) -> None:
        self.job_id = job_id
        self.origin_url = origin_url
        super().__init__(detail=detail)


class CursorExpiredError(MarianneStreamError):
    """A cursor fits no file of the log that is left."""

    status = 410
    code = "cursor_expired"
    default_detail = "The cursor fits nothing that is left of this log."


class UnauthenticatedError(MarianneStreamError):
    """The request bears no token, and no session that lasts."""

    status = 401
    code = "unauthenticated"
    default_detail = "A token is required: send it as a Bearer token, or sign in at /login."


class InvalidTokenError(UnauthenticatedError):
    """The request bears a token that is none."""

    code = "invalid_token"
    default_detail = "The token is not known here."


class CrossOriginFormError(MarianneStreamError):
    """A form was sent by a page that is not this server's."""

    status = 403
    code = "cross_origin"
    default_detail = "Cross-origin form rejected: the Origin header does not match this server."


class HostNotAllowedError(MarianneStreamError):
    """The request is for a host name that is not this server's."""

    status = 421
    code = "host_not_allowed"
    default_detail = "Host name not allowed: this server answers for those in allowed_hosts."


class LoginRateLimitError(MarianneStreamError):
    """As many failed attempts of one address wait for their answer as may wait."""

    status = 429
    code = "login_rate_limited"
    default_detail = "Too many attempts to sign in have failed. Try again in a moment."


class TooManyDownloadsError(MarianneStreamError):
    """As many logs are being downloaded as may be at once."""

    status = 429
    code = "too_many_downloads"
    default_detail = "Too many logs are being downloaded at once. Ask again in a moment."


class TooManyDownloadsPerClientError(MarianneStreamError):
    """As many logs are being downloaded by one address as it may download at once."""

    status = 429
    code = "too_many_downloads_per_client"
    default_detail = "Too many logs are being downloaded by your address. Ask again in a moment."


class TooManyStreamsPerClientError(MarianneStreamError):
    """As many streams are open to one address as it may have."""

    status = 429
    code = "too_many_streams_per_client"
    default_detail = "Too many streams are open to your address. Come back in a moment."


class TooManySearchesError(MarianneStreamError):
    """As many searches of one job's log go on as may at once."""

    status = 429
    code = "too_many_searches"
    default_detail = "Too many searches of this job's log go on at once. Ask again in a moment."


class TooManyStreamsError(MarianneStreamError):
    """As many streams are open as the server may have."""

    status = 503
    code = "too_many_streams"
    default_detail = "Too many streams are open. Come back in a moment."


class ReadLimitError(MarianneStreamError):
    """A request has read as many bytes of a log as one request may."""

    status = 503
    code = "read_limit"
    default_detail = (
        "This log holds more than one request may read. Ask again: what was counted is kept."
    )


class ShuttingDownError(MarianneStreamError):
    """The server ends."""

    status = 503
    code = "shutting_down"
    default_detail = "This server is about to end. Come back in a moment."


class StateUnavailableError(MarianneStreamError):
    """Nobody could be asked, so nothing is known: never the same as not found."""

    status = 503
    code = "state_unavailable"
    default_detail = "Neither the conductor nor another source of state can be asked right now."
    # Seconds that an unusable answer took: polling is spaced by it.
    cost_s = 0.0


class ConductorUnavailableError(StateUnavailableError):
    """The conductor could not be asked, or its answer could not be used."""

    code = "conductor_unavailable"
    default_detail = "The conductor cannot be asked right now."


class ConductorUnreachableError(ConductorUnavailableError):
    """Nobody listens at the socket, or the conductor says that it is about to leave."""

    code = "conductor_unreachable"
    default_detail = "The conductor is away."


class ConductorBusyError(ConductorUnavailableError):
    """The conductor accepts connections, and has answered none of this server's for 1 s."""

    code = "conductor_busy"
    default_detail = "The conductor does not answer: others may hold all of its connection slots."


class ConductorDisconnectedError(ConductorUnavailableError):
    """The connection ended before the answer was there."""

    code = "conductor_disconnected"
    default_detail = "The connection to the conductor was lost."


class ConductorTimeoutError(ConductorUnavailableError):
    """The conductor did not answer within the time limit of a call."""

    code = "conductor_timeout"
    default_detail = "The conductor did not answer in time."


class ConductorRpcError(ConductorUnavailableError):
    """The conductor answered with a JSON-RPC error.

    Args:
        method: the method that was called.
        rpc_code: the error's code (JSON-RPC 2.0 section 5.1).
        message: the error's message, as the conductor wrote it.
    """

    code = "conductor_error"
    default_detail = "The conductor refused the request."

    def __init__(self, method: str, rpc_code: int, message: str) -> None:
        self.method = method
        self.rpc_code = rpc_code
        super().__init__(f"the conductor refused {method}: {message} ({rpc_code})")


class ConductorProtocolError(ConductorUnavailableError):
    """What the conductor sent is not what its protocol says."""

    code = "conductor_protocol"
    default_detail = "The conductor sent an answer that cannot be read."


class ConductorResponseTooLargeError(ConductorProtocolError):
    """An answer is longer than the protocol's largest message."""


class StateUnreadableError(StateUnavailableError):
    """The registry or the folder of checkpoints cannot be read."""

    code = "state_unreadable"
    default_detail = "The state on disk cannot be read."


class CorruptStateError(StateUnreadableError):
    """What is stored for one job is damaged or half written; other jobs are not concerned."""

    code = "state_corrupt"
    default_detail = "The stored state of this job cannot be read."


class SettingsError(MarianneStreamError):
    """A setting has a value that cannot be used: named, with what was got and what is allowed."""

    exit_code = 2


class SourceNameInUseError(MarianneStreamError):
    """Another relay publishes under the same name, or has done so in another format."""


class LockLostError(MarianneStreamError):
    """What a relay wrote was not written, since the lock of its source is not its own."""


class CliError(MarianneStreamError):
    """The server's answer leaves a verb of the terminal nothing to do."""


class CliJobNotFoundError(CliError):
    """The server knows no such job."""

    exit_code = 3


class CliLogNotFoundError(CliError):
    """The server knows the job, and no log of it."""

    exit_code = 6


class ServerUnreachableError(CliError):
    """The server cannot be reached, or asks to come back: another try may do.

    Args:
        message: one sentence.
        retry_after_s: how long the server asked to wait, in seconds; None where it did not.
    """

    exit_code = 5

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class AccessDeniedError(CliError):
    """The server wants a token, or another one, or does not answer for that host name."""

    exit_code = 5
