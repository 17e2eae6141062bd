"""Every error that marianne-stream raises on purpose, on one page.

    MarianneStreamError                            500 internal_error
    ├── BadRequestError                            400 bad_request
    │   └── BadParameterError                      400 bad_parameter
    │       └── PatternTooComplexError             400 pattern_too_complex
    ├── JobNotFoundError                           404 job_not_found
    ├── LogNotFoundError                           404 log_not_found
    │   └── JobFileNotFoundError                   404 file_not_found
    ├── LogForbiddenError                          403 log_forbidden
    │   └── JobFileForbiddenError                  403 file_forbidden
    ├── FilesDisabledError                         404 files_disabled
    ├── LogTooLargeError                           413 log_too_large
    ├── MarkdownTooComplexError                    413 markdown_too_complex
    ├── ReadLimitError                             422 read_limit
    ├── SheetNotFoundError                         404 sheet_not_found
    ├── RunNotFoundError                           404 run_not_found
    ├── NoConductorError                           404 no_conductor
    ├── HistoryUnavailableError                    404 history_disabled
    │   ├── HistoryLockedError                     404 history_disabled
    │   └── HistoryUnreadableError                 503 history_unreadable
    │       └── HistoryBusyError                   503 history_unreadable
    ├── NotOnEdgeError                             501 not_available_on_edge
    ├── CursorExpiredError                         410 cursor_expired
    ├── UnauthenticatedError                       401 unauthenticated
    │   └── InvalidTokenError                      401 invalid_token
    ├── CrossOriginFormError                       403 cross_origin
    ├── SignOnRefusedError                         403 sign_on_refused
    ├── HostNotAllowedError                        421 host_not_allowed
    ├── LoginRateLimitError                        429 login_rate_limited
    ├── TooManyDownloadsError                      429 too_many_downloads
    ├── TooManyDownloadsPerClientError             429 too_many_downloads_per_client
    ├── TooManyStreamsPerClientError               429 too_many_streams_per_client
    ├── TooManySearchesError                       429 too_many_searches
    ├── TooManyStreamsError                        503 too_many_streams
    ├── LogCountingError                           503 log_counting
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
    └── CliError                                   (never over HTTP: see client/cli_errors.py)

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

    def __init_subclass__(cls, *, status: int | None = None, code: str | None = None) -> None:
        super().__init_subclass__()
        cls.status = cls.status if status is None else status
        cls.code = cls.code if code is None else code

    def __init__(self, message: str = "", *, detail: str | None = None) -> None:
        self.detail = detail or self.default_detail
        super().__init__(message or self.detail)


class BadRequestError(MarianneStreamError, status=400, code="bad_request"):
    """The request is invalid."""

    default_detail = "The request cannot be understood."


class BadParameterError(BadRequestError, code="bad_parameter"):
    """A parameter is invalid: out of range, of the wrong type, not finite, or given twice."""

    default_detail = "A parameter is not valid."


class PatternTooComplexError(BadParameterError, code="pattern_too_complex"):
    """The regular expression compiles to a program that is too slow to match."""

    default_detail = "The regular expression is too complex."


class JobNotFoundError(MarianneStreamError, status=404, code="job_not_found"):
    """The backend answered that the job does not exist."""

    default_detail = "Score not found."

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(detail=f"Score not found: {job_id}")


class LogNotFoundError(MarianneStreamError, status=404, code="log_not_found"):
    """The job exists, but no log was found in any of its possible places.

    `detail` is for every client, and names folders by placeholders, as `{workspace}`;
    `detail_with_paths` names paths of the host, for clients that may see all jobs.
    """

    default_detail = "This job has no log."

    def __init__(
        self, message: str = "", *, detail: str | None = None, detail_with_paths: str | None = None
    ) -> None:
        super().__init__(message, detail=detail)
        self.detail_with_paths = detail_with_paths or self.detail


class LogForbiddenError(MarianneStreamError, status=403, code="log_forbidden"):
    """The log must not be read: for example, it is a link or outside of the job's folder."""

    default_detail = "The log may not be read: it is not a regular file inside the job's folder."


class JobFileNotFoundError(LogNotFoundError, code="file_not_found"):
    """The job has no workspace, or no file with this path in it."""

    default_detail = "This job has no such file."


class JobFileForbiddenError(LogForbiddenError, code="file_forbidden"):
    """The file must not be read: it is a link or excluded, or the token has no right to files."""

    default_detail = "The file may not be read: it is not a regular file inside the workspace."


class FilesDisabledError(MarianneStreamError, status=404, code="files_disabled"):
    """The setting `files` is false."""

    default_detail = "This server serves no files of jobs: files is false in its settings."


class LogTooLargeError(MarianneStreamError, status=413, code="log_too_large"):
    """The log is larger than `max_download_bytes`."""

    default_detail = "Log file too large for download. Use the streaming endpoint instead."


class MarkdownTooComplexError(MarianneStreamError, status=413, code="markdown_too_complex"):
    """The Markdown text is larger than 512 KiB, or takes longer to render than a request may."""

    default_detail = "This text is too large or too deeply nested to be rendered."


class SheetNotFoundError(MarianneStreamError, status=404, code="sheet_not_found"):
    """The job, or the run of it, has no sheet with this number."""

    default_detail = "The job has no such sheet."


class RunNotFoundError(MarianneStreamError, status=404, code="run_not_found"):
    """No run of the job with this name was recorded."""

    default_detail = "No such run of the job was recorded."


class NoConductorError(MarianneStreamError, status=404, code="no_conductor"):
    """The server reads state from files on disk, and asks no conductor."""

    default_detail = "This server reads files on disk, and asks no conductor."


class HistoryUnavailableError(MarianneStreamError, status=404, code="history_disabled"):
    """The history cannot be read or written, or is turned off."""

    default_detail = "This server has no history: it is turned off, or its file cannot be used."


class HistoryLockedError(HistoryUnavailableError):
    """Another process writes the history."""


class HistoryUnreadableError(HistoryUnavailableError, status=503, code="history_unreadable"):
    """The file of the history could not be read: for example, the disk has failed for a moment."""

    default_detail = "The history cannot be read right now."


class HistoryBusyError(HistoryUnreadableError):
    """Another program has locked the database of the history for longer than a moment."""


class HistoryClosedError(HistoryUnreadableError):
    """This server stops, and has closed its history."""


class NotOnEdgeError(MarianneStreamError, status=501, code="not_available_on_edge"):
    """An edge has neither files nor a history: only the origin on the conductor's host has them."""

    default_detail = "Only the conductor's own server has this, and its address is not known here."

    def __init__(self, job_id: str, *, origin_url: str | None, detail: str | None = None) -> None:
        self.job_id = job_id
        self.origin_url = origin_url
        super().__init__(detail=detail)


class CursorExpiredError(MarianneStreamError, status=410, code="cursor_expired"):
    """The cursor matches no remaining file of the log."""

    default_detail = "The cursor matches no remaining part of this log."


class UnauthenticatedError(MarianneStreamError, status=401, code="unauthenticated"):
    """The request has neither a token nor a valid session."""

    default_detail = "A token is required: send it as a Bearer token, or sign in with a browser."


class InvalidTokenError(UnauthenticatedError, code="invalid_token"):
    """The request has a token that is unknown."""

    default_detail = "Unknown token."


class CrossOriginFormError(MarianneStreamError, status=403, code="cross_origin"):
    """The form was sent by a page of another origin."""

    default_detail = "Cross-origin form rejected: the Origin header does not match this server."


class SignOnRefusedError(MarianneStreamError, status=403, code="sign_on_refused"):
    """A trusted proxy has named no valid user, or no valid jobs; the message is the reason."""

    default_detail = "The sign-on service named no user or no jobs that this server accepts."

    def __init__(self, reason: str, *, user: str = "") -> None:
        self.user = user
        super().__init__(reason)


class HostNotAllowedError(MarianneStreamError, status=421, code="host_not_allowed"):
    """The Host header names a host that is not in `allowed_hosts`."""

    default_detail = "Host name not allowed: this server answers for those in allowed_hosts."


class LoginRateLimitError(MarianneStreamError, status=429, code="login_rate_limited"):
    """Too many failed logins of one address are waiting for their answer."""

    default_detail = "Too many failed attempts to sign in. Try again in a moment."


class TooManyDownloadsError(MarianneStreamError, status=429, code="too_many_downloads"):
    """The limit of simultaneous downloads is reached."""

    default_detail = "Too many files are being downloaded at once. Try again in a moment."


class TooManyDownloadsPerClientError(
    MarianneStreamError, status=429, code="too_many_downloads_per_client"
):
    """The limit of simultaneous downloads by one address is reached."""

    default_detail = "Too many files are being downloaded by your address. Try again in a moment."


class TooManyStreamsPerClientError(
    MarianneStreamError, status=429, code="too_many_streams_per_client"
):
    """The limit of open streams to one address is reached."""

    default_detail = "Too many streams are open to your address. Try again in a moment."


class TooManySearchesError(MarianneStreamError, status=429, code="too_many_searches"):
    """The limit of simultaneous searches in one job's log is reached."""

    default_detail = "Too many searches of this job's log are running. Try again in a moment."


class TooManyStreamsError(MarianneStreamError, status=503, code="too_many_streams"):
    """The limit of open streams is reached."""

    default_detail = "Too many streams are open. Try again in a moment."


class ReadLimitError(MarianneStreamError, status=422, code="read_limit"):
    """The request has read as much of a log as one request may; a retry would read it again."""

    default_detail = "This would take more reading of the log than one request may do."


class LogCountingError(MarianneStreamError, status=503, code="log_counting"):
    """The request has counted as many lines of a log as one may; the next one counts on."""

    default_detail = "The lines of this log are still being counted. Try again in a moment."


class ShuttingDownError(MarianneStreamError, status=503, code="shutting_down"):
    """The server is shutting down."""

    default_detail = "This server is shutting down. Try again in a moment."


class StateUnavailableError(MarianneStreamError, status=503, code="state_unavailable"):
    """No backend could be read, so the state is unknown. Never the same as "not found"."""

    default_detail = "Neither the conductor nor another source of jobs can be read right now."
    # Duration of a response that could not be used, in seconds: polling is spaced by it.
    cost_s = 0.0


class ConductorUnavailableError(StateUnavailableError, code="conductor_unavailable"):
    """The conductor could not be asked, or its response could not be used."""

    default_detail = "The conductor is unavailable right now."


class ConductorUnreachableError(ConductorUnavailableError, code="conductor_unreachable"):
    """No process listens on the conductor's socket, or the conductor is shutting down."""

    default_detail = "The conductor is away."


class ConductorBusyError(ConductorUnavailableError, code="conductor_busy"):
    """The conductor accepts connections, but has answered none of this server's for 1 s."""

    default_detail = "The conductor does not answer: all of its connection slots may be taken."


class ConductorDisconnectedError(ConductorUnavailableError, code="conductor_disconnected"):
    """The connection ended before the response was complete."""

    default_detail = "The connection to the conductor was lost."


class ConductorTimeoutError(ConductorUnavailableError, code="conductor_timeout"):
    """The conductor did not respond within the time limit of a call."""

    default_detail = "The conductor did not answer in time."


class ConductorRpcError(ConductorUnavailableError, code="conductor_error"):
    """The conductor responded with a JSON-RPC error; `rpc_code` is its code (section 5.1)."""

    default_detail = "The conductor refused the request."

    def __init__(self, method: str, rpc_code: int, message: str) -> None:
        self.method = method
        self.rpc_code = rpc_code
        super().__init__(f"the conductor refused {method}: {message} ({rpc_code})")


class ConductorProtocolError(ConductorUnavailableError, code="conductor_protocol"):
    """The conductor sent a message that violates its protocol."""

    default_detail = "The conductor sent an invalid answer."


class ConductorResponseTooLargeError(ConductorProtocolError):
    """The response exceeds the protocol's maximum message size."""


class StateUnreadableError(StateUnavailableError, code="state_unreadable"):
    """The registry or the folder of checkpoints cannot be read."""

    default_detail = "The state on disk cannot be read."


class CorruptStateError(StateUnreadableError, code="state_corrupt"):
    """The stored state of one job is damaged or incomplete. Other jobs are not affected."""

    default_detail = "The stored state of this job cannot be read."


class SettingsError(MarianneStreamError):
    """A setting is invalid. The message names it, the received value and the allowed values."""

    exit_code = 2


class SourceNameInUseError(MarianneStreamError):
    """Another relay publishes under the same name, or has published in another format."""


class LockLostError(MarianneStreamError):
    """A relay's write was rejected because another relay holds the lock of its source."""
