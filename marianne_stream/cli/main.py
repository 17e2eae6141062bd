"""Command line: finds the command, runs it, and prints its error as one sentence."""

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
from marianne_stream.common.process_exit import EXIT_SIGINT, EXIT_SIGPIPE, detach_stdout
from marianne_stream.errors import MarianneStreamError, SettingsError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, `serve` by default, and return the exit code.

    Arguments are by default those of this process. The exit code is 0, 1 for a failure, 2 for
    invalid arguments or settings, 130 after Ctrl-C, 141 if the reader of the output is gone, or a
    code of the command.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            if "_ARGCOMPLETE" in os.environ:
                # A shell asks for completions.
                return COMPLETE_COMMAND.load().run(Namespace())
            return run_command(arguments)
        finally:
            # A closed pipe that is noticed later, at the exit of Python, is a message of Python's.
            if sys.stdout is not None:
                sys.stdout.flush()
    except MarianneStreamError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        detach_stdout()
        return EXIT_SIGPIPE
    except KeyboardInterrupt:
        return EXIT_SIGINT


def run_command(arguments: list[str]) -> int:
    """Run the command that the first argument names, or print the help.

    Raises:
        SettingsError: there is no such command.
    """
    if arguments and arguments[0] in ("-h", "--help"):
        print(format_program_help(), end="")
        return 0
    name = DEFAULT_COMMAND
    if arguments and not arguments[0].startswith("-"):
        name = arguments.pop(0)
    if name not in COMMANDS:
        raise SettingsError(f"unknown command {name!r}; commands: {', '.join(COMMANDS)}")
    if name == DEFAULT_COMMAND:
        # SIGHUP means reload, and until the server listens there is nothing to reload.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    command = COMMANDS[name].load()
    return command.run(make_parser(name, command).parse_args(arguments))
