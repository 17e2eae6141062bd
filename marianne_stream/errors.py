"""Every error that marianne-stream raises on purpose, on one page.

    MarianneStreamError                 500 internal_error
    ├── BadRequestError                 400 bad_request
    │   └── BadParameterError           400 bad_parameter
    │       └── PatternTooComplexError  400 pattern_too_complex
    ├── JobNotFoundError                404 job_not_found
    ├── LogNotFoundError                404 log_not_found
    ├── LogForbiddenError               403 log_forbidden
    ├── LogTooLargeError                413 log_too_large
    ├── OriginOnlyError                 501 not_available_on_edge
    ├── CursorUnknownError              410 cursor_expired
    ├── NotSignedInError                401 unauthenticated
    │   └── WrongTokenError             401 invalid_token
    ├── OriginMismatchError             403 cross_origin
    ├── WrongHostError                  421 host_not_allowed
    ├── TooManySignInsError             429 login_rate_limited
    ├── TooManyDownloadsError           429 too_many_downloads
    ├── TooManyDownloadsOfOneError      429 too_many_downloads_per_client
    ├── TooManyStreamsOfOneError        429 too_many_streams_per_client
    ├── TooManySearchesError            429 too_many_searches
    ├── TooManyStreamsError             503 too_many_streams
    ├── ReadLimitError                  503 read_limit
    ├── LeavingError                    503 leaving
    ├── StateUnavailableError           503 state_unavailable
    │   ├── ConductorUnavailableError   503 conductor_unavailable
    │   │   ├── ConductorAwayError      503 conductor_unreachable
    │   │   ├── ConductorBusyError      503 conductor_busy
    │   │   ├── ConductorLostError      503 conductor_disconnected
    │   │   ├── ConductorTimeoutError   503 conductor_timeout
    │   │   ├── ConductorRefusedError   503 conductor_error
    │   │   └── ConductorProtocolError  503 conductor_protocol
    │   │       └── AnswerTooLargeError 503 conductor_protocol
    │   └── StoreUnreadableError        503 state_unreadable
    │       └── CorruptStateError       503 state_corrupt
    ├── SettingsError                   (never over HTTP: the command line exits with 2)
    ├── SourceTakenError                (never over HTTP: the server ends at its start)
    ├── LockLostError                   (never over HTTP: the relay stops writing)
    └── TerminalError                   (never over HTTP: what a verb of the terminal ends with)
        ├── NotThereError               (it exits with 3)
        ├── NoLogError                  (it exits with 6)
        ├── UnreachableError            (it exits with 5, when its patience is at an end)
        └── NotLetInError               (it exits with 5)

`detail` is what a client may read: with no path of the host in it. The message of the
exception is for the log, and may name paths and the operating system's own words.
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
    public: ClassVar[str] = "The server failed to answer this request."
    # What the command line exits with.
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", *, detail: str | None = None) -> None:
        self.detail = detail or self.public
        super().__init__(message or self.detail)


class BadRequestError(MarianneStreamError):
    """The request cannot be understood."""

    status = 400
    code = "bad_request"
    public = "The request cannot be understood."


class BadParameterError(BadRequestError):
    """A parameter is out of its range, not of its type, not finite, or given twice."""

    code = "bad_parameter"
    public = "A parameter is not valid."


class PatternTooComplexError(BadParameterError):
    """A regular expression whose compiled program is so large that matching a line takes long."""

    code = "pattern_too_complex"
    public = "The regular expression is too complex."


class JobNotFoundError(MarianneStreamError):
    """The source of state was asked, and says that there is no such job."""

    status = 404
    code = "job_not_found"
    public = "Score not found."

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
    public = "This job has no log."

    def __init__(
        self, message: str = "", *, detail: str | None = None, detail_with_paths: str | None = None
    ) -> None:
        super().__init__(message, detail=detail)
        self.detail_with_paths = detail_with_paths or self.detail


class LogForbiddenError(MarianneStreamError):
    """Something lies where the log should, and it is not to be read."""

    status = 403
    code = "log_forbidden"
    public = "The log may not be read: it is no regular file inside the job's folder."


class LogTooLargeError(MarianneStreamError):
    """The log is larger than what is given as one text."""

    status = 413
    code = "log_too_large"
    public = "Log file too large for download. Use the streaming endpoint instead."


class OriginOnlyError(MarianneStreamError):
    """An edge has no files: only the server of the conductor's machine, the origin, can answer.

    Args:
        job_id: the job, as the origin names it.
        origin_url: where that is; None where it is not known.
        detail: one sentence for the client.
    """

    status = 501
    code = "not_available_on_edge"
    public = "Only the conductor's own server has this, and its address is not known here."

    def __init__(self, job_id: str, *, origin_url: str | None, detail: str | None = None) -> None:
        self.job_id = job_id
        self.origin_url = origin_url
        super().__init__(detail=detail)


class CursorUnknownError(MarianneStreamError):
    """A cursor fits no file of the log that is left."""

    status = 410
    code = "cursor_expired"
    public = "The cursor fits nothing that is left of this log."


class NotSignedInError(MarianneStreamError):
    """The request bears no token, and no session that lasts."""

    status = 401
    code = "unauthenticated"
    public = "A token is needed: in an Authorization header as Bearer, or by signing in at /login."


class WrongTokenError(NotSignedInError):
    """The request bears a token that is none."""

    code = "invalid_token"
    public = "The token is not known here."


class OriginMismatchError(MarianneStreamError):
    """A form was sent by a page that is not this server's."""

    status = 403
    code = "cross_origin"
    public = "This can be sent by a page of this server only: the Origin header says otherwise."


class WrongHostError(MarianneStreamError):
    """The request is for a host name that is not this server's."""

    status = 421
    code = "host_not_allowed"
    public = "This server does not answer for that host name; allowed_hosts names those it does."


class TooManySignInsError(MarianneStreamError):
    """As many failed attempts of one address wait for their answer as may wait."""

    status = 429
    code = "login_rate_limited"
    public = "Too many attempts to sign in have failed. Try again in a moment."


class TooManyDownloadsError(MarianneStreamError):
    """As many logs are being downloaded as may be at once."""

    status = 429
    code = "too_many_downloads"
    public = "Too many logs are being downloaded at once. Ask again in a moment."


class TooManyDownloadsOfOneError(MarianneStreamError):
    """As many logs are being downloaded by one address as it may download at once."""

    status = 429
    code = "too_many_downloads_per_client"
    public = "Too many logs are being downloaded by your address. Ask again in a moment."


class TooManyStreamsOfOneError(MarianneStreamError):
    """As many streams are open to one address as it may have."""

    status = 429
    code = "too_many_streams_per_client"
    public = "Too many streams are open to your address. Come back in a moment."


class TooManySearchesError(MarianneStreamError):
    """As many searches of one job's log go on as may at once."""

    status = 429
    code = "too_many_searches"
    public = "Too many searches of this job's log go on at once. Ask again in a moment."


class TooManyStreamsError(MarianneStreamError):
    """As many streams are open as the server may have."""

    status = 503
    code = "too_many_streams"
    public = "Too many streams are open. Come back in a moment."


class ReadLimitError(MarianneStreamError):
    """A request has read as many bytes of a log as one request may."""

    status = 503
    code = "read_limit"
    public = "This log holds more than one request may read. Ask again: what was counted is kept."


class LeavingError(MarianneStreamError):
    """The server ends."""

    status = 503
    code = "shutting_down"
    public = "This server is about to end. Come back in a moment."


class StateUnavailableError(MarianneStreamError):
    """Nobody could be asked, so nothing is known: never the same as not found."""

    status = 503
    code = "state_unavailable"
    public = "Neither the conductor nor another source of state can be asked right now."
    # Seconds that an unusable answer took: polling is spaced by it.
    cost_s = 0.0


class ConductorUnavailableError(StateUnavailableError):
    """The conductor could not be asked, or its answer could not be used."""

    code = "conductor_unavailable"
    public = "The conductor cannot be asked right now."


class ConductorAwayError(ConductorUnavailableError):
    """Nobody listens at the socket, or the conductor says that it is about to leave."""

    code = "conductor_unreachable"
    public = "The conductor is away."


class ConductorBusyError(ConductorUnavailableError):
    """The conductor accepts connections, and has answered none of this server's for 1 s."""

    code = "conductor_busy"
    public = "The conductor does not answer: others may hold all of its connection slots."


class ConductorLostError(ConductorUnavailableError):
    """The connection ended before the answer was there."""

    code = "conductor_disconnected"
    public = "The connection to the conductor was lost."


class ConductorTimeoutError(ConductorUnavailableError):
    """The conductor did not answer within the time limit of a call."""

    code = "conductor_timeout"
    public = "The conductor did not answer in time."


class ConductorRefusedError(ConductorUnavailableError):
    """The conductor answered with a JSON-RPC error.

    Args:
        method: the method that was called.
        number: the error's code (JSON-RPC 2.0 section 5.1).
        message: the error's message, as the conductor wrote it.
    """

    code = "conductor_error"
    public = "The conductor refused the request."

    def __init__(self, method: str, number: int, message: str) -> None:
        self.method = method
        self.number = number
        super().__init__(f"the conductor refused {method}: {message} ({number})")


class ConductorProtocolError(ConductorUnavailableError):
    """What the conductor sent is not what its protocol says."""

    code = "conductor_protocol"
    public = "The conductor sent an answer that cannot be read."


class AnswerTooLargeError(ConductorProtocolError):
    """An answer is longer than the protocol's largest message."""


class StoreUnreadableError(StateUnavailableError):
    """The registry or the folder of checkpoints cannot be read."""

    code = "state_unreadable"
    public = "The state on disk cannot be read."


class CorruptStateError(StoreUnreadableError):
    """What is stored for one job is damaged or half written; other jobs are not concerned."""

    code = "state_corrupt"
    public = "The stored state of this job cannot be read."


class SettingsError(MarianneStreamError):
    """A setting has a value that cannot be used: named, with what was got and what is allowed."""

    exit_code = 2


class SourceTakenError(MarianneStreamError):
    """Another relay publishes under the same name, or has done so in another format."""


class LockLostError(MarianneStreamError):
    """What a relay wrote was not written, since the lock of its source is not its own."""


class TerminalError(MarianneStreamError):
    """The server's answer leaves a verb of the terminal nothing to do."""


class NotThereError(TerminalError):
    """The server knows no such job."""

    exit_code = 3


class NoLogError(TerminalError):
    """The server knows the job, and no log of it."""

    exit_code = 6


class UnreachableError(TerminalError):
    """The server cannot be reached, or asks to come back: another try may do.

    Args:
        message: one sentence.
        retry_after_s: how long the server asked to wait, in seconds; None where it did not.
    """

    exit_code = 5

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class NotLetInError(TerminalError):
    """The server wants a token, or another one, or does not answer for that host name."""

    exit_code = 5
