"""Errors of client commands, with their exit codes."""

from marianne_stream.errors import MarianneStreamError


class CliError(MarianneStreamError):
    """A client command cannot go on because of the server's response."""


class CliJobNotFoundError(CliError):
    """The job does not exist on the server."""

    exit_code = 3


class CliFileNotFoundError(CliError):
    """The job exists on the server, but has no log, or no file of this path."""

    exit_code = 6


class ServerUnreachableError(CliError):
    """The server cannot be reached, or asks the client to come back: a retry may succeed."""

    exit_code = 5

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        # Delay that the server asked for; None if it named none.
        self.retry_after_s = retry_after_s
        super().__init__(message)


class AccessDeniedError(CliError):
    """The server rejects the token, asks for one, or does not answer for this host name."""

    exit_code = 5


class CliFileForbiddenError(AccessDeniedError):
    """The server does not read this log or file: for example, it is a link."""
