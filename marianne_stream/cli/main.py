"""The command line: finds the verb, runs it, and says in one sentence why it cannot."""

import os
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence

from marianne_stream.cli.commands import (
    COMMANDS,
    COMPLETE_COMMAND,
    DEFAULT_COMMAND,
    PROGRAM,
    format_program_help,
    make_parser,
)
from marianne_stream.errors import MarianneStreamError, SettingsError

# As a shell says it of a program that SIGINT has ended: 128 and the signal's number.
EXIT_SIGINT = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb, `serve` where none is named.

    Args:
        argv: the arguments behind the program's name; this process's own where they are left out.

    Returns:
        The exit code: 0, 1 for what cannot be done, 2 for what cannot be understood, 130 after
        Ctrl-C, or what a verb has of its own.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if "_ARGCOMPLETE" in os.environ:
            # A shell asks what may stand where the cursor is.
            return COMPLETE_COMMAND.load().run(Namespace())
        return run_command(arguments)
    except MarianneStreamError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_SIGINT


def run_command(arguments: list[str]) -> int:
    """Runs the verb that the first argument names; says which there are where help is asked for.

    Raises:
        SettingsError: there is no such verb.
    """
    if arguments and arguments[0] in ("-h", "--help"):
        print(format_program_help(), end="")
        return 0
    name = DEFAULT_COMMAND
    if arguments and not arguments[0].startswith("-"):
        name = arguments.pop(0)
    if name not in COMMANDS:
        raise SettingsError(f"there is no verb {name!r}; these are: {', '.join(COMMANDS)}")
    if name == DEFAULT_COMMAND:
        # A server takes it as a request to reload: until it listens, there is nothing to reload.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    verb = COMMANDS[name].load()
    return verb.run(make_parser(name, verb).parse_args(arguments))
