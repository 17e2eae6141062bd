"""The table of verbs: the one list of them, with where each is found.

It must not import a verb before it is wanted: the server starts without what draws on a terminal,
and a verb of the terminal without the server.
"""

from argparse import Action, ArgumentParser, Namespace
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

PROGRAM = "marianne-stream"
DEFAULT_COMMAND = "serve"


class CliCommand(Protocol):
    """What the module of a verb has."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Gives a parser the verb's description, examples and options."""

    def run(self, options: Namespace) -> int:
        """Does it, and returns the exit code."""


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a verb is found.

    Attributes:
        module: the name of its module, in this folder.
        summary: what it does, in a few words.
    """

    module: str
    summary: str

    def load(self) -> CliCommand:
        """The verb itself."""
        return cast("CliCommand", import_module(f"marianne_stream.cli.{self.module}"))


COMMANDS = {
    "serve": LazyCommand("serve", "serves a conductor's jobs"),
    "demo": LazyCommand("demo", "serves a simulated conductor, whose jobs run in a loop"),
    "check": LazyCommand("check", "looks whether conductor, registry, logs and tokens can be used"),
    "token": LazyCommand("token", "prints the token that the server asks for"),
    "jobs": LazyCommand("jobs", "lists the jobs"),
    "watch": LazyCommand("watch", "shows how far jobs are, until they end"),
    "logs": LazyCommand("logs", "prints a job's log, and follows it"),
    "events": LazyCommand("events", "prints what the conductor says, as it comes"),
    "completion": LazyCommand("completion", "prints what a shell needs to complete all this"),
}

HELP = f"""\
usage: {PROGRAM} [VERB] [OPTION ...]

Streams the jobs of a Marianne conductor, and shows them in a terminal.

Verbs; {DEFAULT_COMMAND} is what runs where none is named:
{{verbs}}
Examples:
  {PROGRAM} demo
  {PROGRAM} watch nightly

{PROGRAM} VERB --help tells the options of one, and gives examples:
{PROGRAM} {DEFAULT_COMMAND} --help all settings of the server.
{PROGRAM} --version prints the version.
"""

# What runs when a shell asks how a command line may go on.
COMPLETE_COMMAND = LazyCommand("complete", "answers a shell")


def format_program_help() -> str:
    """What the program is, and its verbs with what each does."""
    width = max(map(len, COMMANDS))
    lines = (f"  {name:{width}}  {place.summary}\n" for name, place in COMMANDS.items())
    return HELP.format(verbs="".join(lines))


def make_parser(name: str, command: CliCommand) -> ArgumentParser:
    """The parser of one verb, as its own program."""
    # An abbreviation that works today would mean another option tomorrow.
    parser = ArgumentParser(
        prog=PROGRAM if name == DEFAULT_COMMAND else f"{PROGRAM} {name}", allow_abbrev=False
    )
    command.add_arguments(parser)
    return parser


class RenamedOption(Action):
    """An option that only says which option took its place: `const`."""

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,  # noqa: ARG002 - the signature of argparse.Action
        values: object,  # noqa: ARG002
        option_string: str | None = None,
    ) -> None:
        """Exit with 2 and the new name of the option."""
        parser.error(f"{option_string} was renamed: use {self.const}")
