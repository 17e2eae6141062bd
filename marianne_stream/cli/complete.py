"""Shell completion of commands, options and job ids.

Nothing but the completions is printed: the user is typing.
"""

import asyncio
import os
from argparse import Action, ArgumentParser, Namespace
from pathlib import Path

from argcomplete import autocomplete
from argcomplete.completers import BaseCompleter, FilesCompleter

from marianne_stream.cli.client_command import URL_ENV, find_token
from marianne_stream.cli.commands import COMMANDS, DEFAULT_COMMAND, PROGRAM
from marianne_stream.client.address import DEFAULT_URL, parse_server_address
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.job_table import fetch_job_ids
from marianne_stream.client.messages import StderrReporter
from marianne_stream.client.retry import RetryPolicy
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.errors import MarianneStreamError

# Time limit: the user has pressed a key and waits.
JOB_IDS_TIMEOUT_S = 0.5


def run(options: Namespace) -> int:  # noqa: ARG001 - the signature of all commands
    """Print the completions of the command line in COMP_LINE, and end the process."""
    line = os.environ.get("COMP_LINE", "")
    autocomplete(
        make_completion_parser(line), always_complete_options=False, default_completer=Completer()
    )
    return 0


def make_completion_parser(line: str) -> ArgumentParser:
    """Return a parser of all commands.

    Only the command that the line names has options: loading all of them would take too long.
    """
    words = line.split()
    first = words[1] if len(words) > 1 else ""
    parser = ArgumentParser(prog=PROGRAM, allow_abbrev=False)
    if first.startswith("-"):
        COMMANDS[DEFAULT_COMMAND].load().add_arguments(parser)
    subparsers = parser.add_subparsers()
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.summary, allow_abbrev=False)
        if name == first:
            command.load().add_arguments(subparser)
    return parser


class Completer(BaseCompleter):
    """Completer of arguments and option values."""

    def __call__(
        self,
        *,
        prefix: str,
        action: Action,
        parser: ArgumentParser,  # noqa: ARG002 - argcomplete gives it
        parsed_args: Namespace,
    ) -> list[str]:
        """Return the job ids for a job argument, files for a path, else nothing."""
        if action.dest == "job":
            return complete_job_ids(prefix, parsed_args)
        if action.type is Path:
            return list(FilesCompleter()(prefix))
        return []


def complete_job_ids(prefix: str, options: Namespace) -> list[str]:
    """Return the matching job ids; none if the server does not answer in time."""
    try:
        address = parse_server_address(
            getattr(options, "url", None) or os.environ.get(URL_ENV) or DEFAULT_URL
        )
        token = find_token(address, getattr(options, "token_file", None))
        client = ApiClient(
            address, token=token, retry_policy=RetryPolicy(), reporter=StderrReporter()
        )
        job_ids = asyncio.run(fetch_with_timeout(client, prefix))
    except (MarianneStreamError, TimeoutError):
        return []
    # An id with control characters cannot be typed.
    return [job_id for job_id in job_ids if strip_to_one_line(job_id) == job_id]


async def fetch_with_timeout(client: ApiClient, prefix: str) -> list[str]:
    """Fetch the matching job ids within the time limit."""
    async with asyncio.timeout(JOB_IDS_TIMEOUT_S), client:
        return await fetch_job_ids(client, prefix)
