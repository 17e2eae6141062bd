"""The table of verbs: the one list of them, with where each is found.

It must not import a verb before it is wanted: the server starts without what draws on a terminal,
and a verb of the terminal without the server.
"""

from argparse import Action, ArgumentParser, Namespace
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

PROGRAM = "marianne-stream"
DEFAULT_VERB = "serve"


class Verb(Protocol):
    """What the module of a verb has."""

    def describe(self, parser: ArgumentParser) -> None:
        """Gives a parser the verb's description, examples and options."""

    def run(self, options: Namespace) -> int:
        """Does it, and returns the exit code."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a verb is found.

    Attributes:
        module: the name of its module, in this folder.
        summary: what it does, in a few words.
    """

    module: str
    summary: str

    def load(self) -> Verb:
        """The verb itself."""
        return cast("Verb", import_module(f"marianne_stream.commands.{self.module}"))


VERBS = {
    "serve": Place("serve", "serves a conductor's jobs"),
    "demo": Place("demo", "serves a simulated conductor, whose jobs run in a loop"),
    "check": Place("check", "looks whether conductor, registry, logs and tokens can be used"),
    "token": Place("token", "prints the token that the server asks for"),
    "jobs": Place("jobs", "lists the jobs"),
    "watch": Place("watch", "shows how far jobs are, until they end"),
    "logs": Place("logs", "prints a job's log, and follows it"),
    "events": Place("events", "prints what the conductor says, as it comes"),
    "completion": Place("completion", "prints what a shell needs to complete all this"),
}

HELP = f"""\
usage: {PROGRAM} [VERB] [OPTION ...]

Streams the jobs of a Marianne conductor, and shows them in a terminal.

Verbs; {DEFAULT_VERB} is what runs where none is named:
{{verbs}}
Examples:
  {PROGRAM} demo
  {PROGRAM} watch nightly

{PROGRAM} VERB --help tells the options of one, and gives examples:
{PROGRAM} {DEFAULT_VERB} --help all settings of the server.
{PROGRAM} --version prints the version.
"""

# What runs when a shell asks how a command line may go on.
COMPLETING = Place("completing", "answers a shell")


def program_help() -> str:
    """What the program is, and its verbs with what each does."""
    width = max(map(len, VERBS))
    lines = (f"  {name:{width}}  {place.summary}\n" for name, place in VERBS.items())
    return HELP.format(verbs="".join(lines))


def parser_of(name: str, verb: Verb) -> ArgumentParser:
    """The parser of one verb, as its own program."""
    # An abbreviation that works today would mean another option tomorrow.
    parser = ArgumentParser(
        prog=PROGRAM if name == DEFAULT_VERB else f"{PROGRAM} {name}", allow_abbrev=False
    )
    verb.describe(parser)
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
