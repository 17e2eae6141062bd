"""Shared parts of the client commands: address, token, retries, common options.

Client commands only read: they never generate a token.
"""

import argparse
import math
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from pathlib import Path

from marianne_stream.auth.token_source import default_data_dir, expand_user, find_local_token
from marianne_stream.auth.tokens import TOKEN_RE, read_preferred_token
from marianne_stream.cli.commands import RenamedOption
from marianne_stream.client import runner
from marianne_stream.client.address import DEFAULT_URL, ServerAddress, parse_server_address
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.messages import StderrReporter
from marianne_stream.client.output import COLOUR_CHOICES, Output
from marianne_stream.client.retry import RetryPolicy
from marianne_stream.client.times import parse_since
from marianne_stream.errors import SettingsError

URL_ENV = "MARIANNE_STREAM_URL"
TOKEN_ENV = "MARIANNE_STREAM_TOKEN"  # noqa: S105 - the name of a variable
# Settings of the server that a client of the same user reads too.
TOKEN_FILE_ENV = "MARIANNE_STREAM_TOKEN_FILE"  # noqa: S105 - the same
DATA_DIR_ENV = "MARIANNE_STREAM_DATA_DIR"
RENAMED_DATA_DIR_ENV = "MARIANNE_STREAM_PRIVATE_DIR"

MAX_RETRY_TIMEOUT_S = 604_800.0

MAX_SHEET_NUMBER = 999_999_999


def add_client_arguments(parser: ArgumentParser, description: str, examples: str) -> None:
    """Set a parser's description and examples, and add the options of all client commands."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = description
    parser.epilog = format_examples(examples)
    parser.add_argument("--json", action="store_true", help="Print one JSON object per line.")
    parser.add_argument(
        "--color",
        choices=COLOUR_CHOICES,
        default="auto",
        help="Use colours; auto: on a terminal with colours, unless NO_COLOR is set.",
    )
    add_url_argument(parser)
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        type=Path,
        help=f"File with the token to send (default: the token in {TOKEN_ENV}, else the file "
        f"in {TOKEN_FILE_ENV}, else the generated token of a server on this machine).",
    )
    parser.add_argument(
        "--retry-timeout",
        metavar="SECONDS",
        type=parse_retry_timeout,
        help="Time to retry while the server cannot be reached (0 to 604800; default: 0 before "
        "the first response, 300 after it).",
    )
    parser.add_argument("--patience", action=RenamedOption, const="--retry-timeout")


def add_url_argument(parser: ArgumentParser) -> None:
    """Add the option that names the server."""
    parser.add_argument(
        "--url",
        help=f"URL of the server: http://HOST:PORT, https://HOST or unix:/PATH "
        f"(default: {URL_ENV}, else {DEFAULT_URL}).",
    )


def format_examples(examples: str) -> str:
    """Return lines of examples as the end of a command's help."""
    return "Examples:\n" + "".join(f"  {line}\n" for line in examples.splitlines())


def find_address(url: str | None) -> ServerAddress:
    """Return the address in an option, else in the environment, else the default one.

    Raises:
        SettingsError: the address is invalid.
    """
    return parse_server_address(url or os.environ.get(URL_ENV) or DEFAULT_URL)


def run_client(options: Namespace, command: Callable[[ApiClient, Output], Awaitable[int]]) -> int:
    """Run a client command, and return its exit code.

    Raises:
        SettingsError: an option or an environment variable is invalid.
        MarianneStreamError: raised by the command.
    """
    if sys.stdout is None:
        raise SettingsError("standard output is closed: redirect it to a file or to /dev/null")
    address = find_address(options.url)
    token = find_token(address, options.token_file)
    reporter = StderrReporter()
    output = Output(sys.stdout, colour=options.color, environ=os.environ)
    retry_policy = RetryPolicy()
    if options.retry_timeout is not None:
        retry_policy = RetryPolicy(options.retry_timeout, options.retry_timeout)

    async def main() -> int:
        async with ApiClient(
            address, token=token, retry_policy=retry_policy, reporter=reporter
        ) as client:
            return await command(client, output)

    return runner.run(main())


def find_token(address: ServerAddress, token_file: Path | None) -> str | None:
    """Return the token to send: the configured one, or the generated one of a local server.

    A token that was not configured is never sent to another machine.

    Raises:
        SettingsError: the configured token is invalid or cannot be read.
    """
    if token_file is not None:
        return read_preferred_token(expand_path("--token-file", token_file)).text
    if token := os.environ.get(TOKEN_ENV):
        if not TOKEN_RE.fullmatch(token):
            raise SettingsError(
                f"{TOKEN_ENV} must be a token of 16 to 512 ASCII characters without blanks, "
                f"got {len(token)} characters"
            )
        return token
    if token_path := os.environ.get(TOKEN_FILE_ENV):
        return read_preferred_token(expand_path(TOKEN_FILE_ENV, Path(token_path))).text
    if not address.is_local:
        return None
    if RENAMED_DATA_DIR_ENV in os.environ:
        raise SettingsError(f"{RENAMED_DATA_DIR_ENV} was renamed: use {DATA_DIR_ENV}")
    folder = os.environ.get(DATA_DIR_ENV)
    return find_local_token(
        expand_path(DATA_DIR_ENV, Path(folder)) if folder else default_data_dir()
    )


def expand_path(setting_name: str, path: Path) -> Path:
    """Expand a tilde in a path.

    Raises:
        SettingsError: the home folder does not exist.
    """
    try:
        return expand_user(path)
    except ValueError as error:
        raise SettingsError(f"{setting_name} must be a path, got {path}: {error}") from error


def parse_retry_timeout(text: str) -> float:
    """Parse a duration in seconds from the command line."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= MAX_RETRY_TIMEOUT_S:
        raise argparse.ArgumentTypeError(
            f"must be a number from 0 to {MAX_RETRY_TIMEOUT_S:.0f}, got {text!r}"
        )
    return value


def parse_time(text: str) -> float:
    """Parse a time from the command line, and return epoch seconds."""
    try:
        return parse_since(text, time.time())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def make_int_parser(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return a parser of integers in a range, for argparse."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and minimum <= int(text) <= maximum):
            raise argparse.ArgumentTypeError(
                f"must be an integer from {minimum} to {maximum}, got {text!r}"
            )
        return int(text)

    return parse
