"""What a shell is answered that asks how a command line may go on.

Nothing but the answer is printed: the user is in the middle of typing.
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

# A key was pressed: whoever is slower than this is too slow.
JOB_IDS_TIMEOUT_S = 0.5


def run(options: Namespace) -> int:  # noqa: ARG001 - as all verbs
    """Answers, and ends the process."""
    line = os.environ.get("COMP_LINE", "")
    autocomplete(
        make_completion_parser(line), always_complete_options=False, default_completer=Completer()
    )
    return 0


def make_completion_parser(line: str) -> ArgumentParser:
    """A parser of all verbs, of which only the one that the line names knows its options.

    The others would take longer to load than a key press may.
    """
    words = line.split()
    named = words[1] if len(words) > 1 else ""
    parser = ArgumentParser(prog=PROGRAM, allow_abbrev=False)
    if named.startswith("-"):
        COMMANDS[DEFAULT_COMMAND].load().add_arguments(parser)
    verbs = parser.add_subparsers()
    for name, place in COMMANDS.items():
        verb = verbs.add_parser(name, help=place.summary, allow_abbrev=False)
        if name == named:
            place.load().add_arguments(verb)
    return parser


class Completer(BaseCompleter):
    """Says what may stand in the place of an argument."""

    def __call__(
        self,
        *,
        prefix: str,
        action: Action,
        parser: ArgumentParser,  # noqa: ARG002 - argcomplete gives it
        parsed_args: Namespace,
    ) -> list[str]:
        """The jobs where one is wanted, files where one is."""
        if action.dest == "job":
            return complete_job_ids(prefix, parsed_args)
        if action.type is Path:
            return list(FilesCompleter()(prefix))
        return []


def complete_job_ids(prefix: str, options: Namespace) -> list[str]:
    """The jobs that the server lists; none where it cannot say so in time."""
    try:
        address = parse_server_address(
            getattr(options, "url", None) or os.environ.get(URL_ENV) or DEFAULT_URL
        )
        token = find_token(address, getattr(options, "token_file", None))
        server = ApiClient(
            address, token=token, retry_policy=RetryPolicy(), reporter=StderrReporter()
        )
        found = asyncio.run(fetch_with_timeout(server, prefix))
    except (MarianneStreamError, TimeoutError):
        return []
    # One that would have to be changed to be shown cannot be typed, either.
    return [job_id for job_id in found if strip_to_one_line(job_id) == job_id]


async def fetch_with_timeout(client: ApiClient, prefix: str) -> list[str]:
    """The ids that hold what was typed."""
    async with asyncio.timeout(JOB_IDS_TIMEOUT_S), client:
        return await fetch_job_ids(client, prefix)
