"""Table of all commands.

Commands are imported on use: the server starts without the terminal's libraries, and a client
command without the server.
"""

from argparse import SUPPRESS, Action, ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

PROGRAM = "marianne-stream"
DEFAULT_COMMAND = "serve"


class CliCommand(Protocol):
    """Interface of a command's module."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Set the command's description and examples, and add its options."""

    def run(self, options: Namespace) -> int:
        """Run the command, and return its exit code."""


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Command that is imported on use: its module in this package, and what it does."""

    module: str
    summary: str

    def load(self) -> CliCommand:
        """Import the command."""
        return cast("CliCommand", import_module(f"marianne_stream.cli.{self.module}"))


COMMANDS = {
    "serve": LazyCommand("serve", "Serve the jobs of a conductor."),
    "demo": LazyCommand("demo", "Serve a simulated conductor whose jobs run in a loop."),
    "check": LazyCommand("check", "Check whether a server with these settings would work."),
    "notify-test": LazyCommand("notify_test", "Send a test message to the targets of the rules."),
    "token": LazyCommand("token", "Print the server's token; add, list and revoke tokens."),
    "health": LazyCommand("health", "Tell whether a server answers."),
    "jobs": LazyCommand("jobs", "List the jobs."),
    "show": LazyCommand("show", "Show a job with its sheets, or one sheet in full."),
    "runs": LazyCommand("runs", "List the recorded runs of a job."),
    "conductor": LazyCommand(
        "show_conductor", "Show the conductor's load and limits, and the jobs that wait."
    ),
    "watch": LazyCommand("watch", "Show the progress of jobs until they end."),
    "logs": LazyCommand("logs", "Print or follow the logs of jobs."),
    "files": LazyCommand("files", "List the files of a job, and print or follow one of them."),
    "events": LazyCommand("events", "Print the conductor's events as they happen."),
    "completion": LazyCommand("completion", "Print a completion script for a shell."),
}

HELP = f"""\
usage: {PROGRAM} [COMMAND] [OPTION ...]

Stream the jobs of a Marianne conductor, and show them in a terminal.

Commands (default: {DEFAULT_COMMAND}):
{{commands}}
{PROGRAM} COMMAND --help prints the options and examples of a command.
{PROGRAM} {DEFAULT_COMMAND} --help prints all settings of the server.
{PROGRAM} --version prints the version.
"""

# Answers a shell that completes a command line; it is not in the list of commands.
COMPLETE_COMMAND = LazyCommand("complete", "Complete a command line.")


def format_program_help() -> str:
    """Return the help of the program, with the list of commands."""
    width = max(map(len, COMMANDS))
    lines = (f"  {name:{width}}  {command.summary}\n" for name, command in COMMANDS.items())
    return HELP.format(commands="".join(lines))


def make_parser(name: str, command: CliCommand) -> ArgumentParser:
    """Return the parser of one command."""
    # An abbreviation may become ambiguous with a new option.
    parser = ArgumentParser(
        prog=PROGRAM if name == DEFAULT_COMMAND else f"{PROGRAM} {name}", allow_abbrev=False
    )
    command.add_arguments(parser)
    return parser


class RenamedOption(Action):
    """Option, left out of the help, whose use is an error that gives its new name, `const`."""

    def __init__(
        self, option_strings: Sequence[str], dest: str, *, const: str, default: str = SUPPRESS
    ) -> None:
        super().__init__(
            option_strings, dest, nargs="?", const=const, default=default, help=SUPPRESS
        )

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,  # noqa: ARG002 - the signature of argparse.Action
        values: object,  # noqa: ARG002
        option_string: str | None = None,
    ) -> None:
        """Exit with 2 and the new name of the option."""
        parser.error(f"{option_string} was renamed: use {self.const}")
