"""What a shell is answered that asks how a command line may go on.

Nothing but the answer is printed: the user is in the middle of typing.
"""

import asyncio
import os
from argparse import Action, ArgumentParser, Namespace
from pathlib import Path

from argcomplete import autocomplete
from argcomplete.completers import BaseCompleter, FilesCompleter

from marianne_stream.client.address import DEFAULT_URL, server_address
from marianne_stream.client.cleaning import clean_word
from marianne_stream.client.jobs import job_ids
from marianne_stream.client.notes import Notes
from marianne_stream.client.patience import Patience
from marianne_stream.client.server import Server
from marianne_stream.commands.terminal import URL_VARIABLE, token_for
from marianne_stream.commands.verbs import DEFAULT_VERB, PROGRAM, VERBS
from marianne_stream.errors import MarianneStreamError

# A key was pressed: whoever is slower than this is too slow.
NAMES_LIMIT_S = 0.5


def run(options: Namespace) -> int:  # noqa: ARG001 - as all verbs
    """Answers, and ends the process."""
    line = os.environ.get("COMP_LINE", "")
    autocomplete(whole_parser(line), always_complete_options=False, default_completer=Completer())
    return 0


def whole_parser(line: str) -> ArgumentParser:
    """A parser of all verbs, of which only the one that the line names knows its options.

    The others would take longer to load than a key press may.
    """
    words = line.split()
    named = words[1] if len(words) > 1 else ""
    parser = ArgumentParser(prog=PROGRAM, allow_abbrev=False)
    if named.startswith("-"):
        VERBS[DEFAULT_VERB].load().describe(parser)
    verbs = parser.add_subparsers()
    for name, place in VERBS.items():
        verb = verbs.add_parser(name, help=place.summary, allow_abbrev=False)
        if name == named:
            place.load().describe(verb)
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
            return names(prefix, parsed_args)
        if action.type is Path:
            return list(FilesCompleter()(prefix))
        return []


def names(prefix: str, options: Namespace) -> list[str]:
    """The jobs that the server lists; none where it cannot say so in time."""
    try:
        address = server_address(
            getattr(options, "url", None) or os.environ.get(URL_VARIABLE) or DEFAULT_URL
        )
        token = token_for(address, getattr(options, "token_file", None))
        server = Server(address, token=token, patience=Patience(), notes=Notes())
        found = asyncio.run(in_time(server, prefix))
    except (MarianneStreamError, TimeoutError):
        return []
    # One that would have to be changed to be shown cannot be typed, either.
    return [job_id for job_id in found if clean_word(job_id) == job_id]


async def in_time(server: Server, prefix: str) -> list[str]:
    """The ids that hold what was typed."""
    async with asyncio.timeout(NAMES_LIMIT_S), server:
        return await job_ids(server, prefix)
