"""Settings as command-line options."""

from argparse import SUPPRESS, Action, ArgumentParser, Namespace
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, get_origin

from marianne_stream.cli.commands import RenamedOption
from marianne_stream.config.loading import (
    FILE_SETTINGS,
    RENAMED,
    describe_allowed,
    describe_default,
    load_settings,
    negated_option,
    option_name,
)
from marianne_stream.config.settings import Settings


def add_settings_options(parser: ArgumentParser, names: Collection[str]) -> None:
    """Add `--config`, and an option for each of the named settings."""
    config_help = "TOML file of settings; rules of notifications are only there."
    parser.add_argument("--config", metavar="FILE", type=Path, help=config_help)
    for name in names:
        if name in FILE_SETTINGS:
            continue
        field = Settings.model_fields[name]
        default = describe_default(name)
        common: dict[str, Any] = {
            "dest": name,
            "default": SUPPRESS,
            "help": f"{field.description} ({describe_allowed(name)}; default: {default})".replace(
                "%", "%%"
            ),
        }
        if field.annotation is bool:
            parser.add_argument(option_name(name), negated_option(name), action=Switch, **common)
        else:
            is_number = describe_allowed(name).startswith(("a number", "an integer"))
            if get_origin(field.annotation) is tuple:
                common["action"] = CommaList
            parser.add_argument(
                option_name(name), metavar="N" if is_number else name.upper(), **common
            )
    for old, new in RENAMED.items():
        if new in names:
            add_renamed_option(parser, old, new)


class Switch(Action):
    """Pair of options without a value: the first stores True, the second False.

    argparse's BooleanOptionalAction reads --no-auth as the second (Python 3.11) or rejects the name
    (3.14).
    """

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(
        self,
        parser: ArgumentParser,  # noqa: ARG002 - the signature of argparse.Action
        namespace: Namespace,
        values: object,  # noqa: ARG002
        option_string: str | None = None,
    ) -> None:
        """Store whether the first option of the pair was given."""
        setattr(namespace, self.dest, option_string == self.option_strings[0])

    def format_usage(self) -> str:
        """Return both options, for the usage line."""
        return " | ".join(self.option_strings)


class CommaList(Action):
    """Option with values that are separated by commas; it may be repeated."""

    def __call__(
        self,
        parser: ArgumentParser,  # noqa: ARG002 - the signature of argparse.Action
        namespace: Namespace,
        values: object,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        """Append the values to those of earlier options."""
        earlier = getattr(namespace, self.dest, None)
        setattr(namespace, self.dest, values if earlier is None else f"{earlier},{values}")


def add_renamed_option(parser: ArgumentParser, old: str, new: str) -> None:
    """Add the old name of an option; using it is an error that gives the new name."""
    names = [(option_name(old), option_name(new))]
    if Settings.model_fields[new].annotation is bool:
        names.append((option_name(f"no_{old}"), negated_option(new)))
    for old_option, new_option in names:
        parser.add_argument(old_option, action=RenamedOption, const=new_option)


def make_settings(options: dict[str, Any]) -> Settings:
    """Load the settings, with parsed options and their `config` file."""
    return load_settings(
        {name: value for name, value in options.items() if name != "config"}, options["config"]
    )


def print_line(line: str) -> None:
    """Print a line and flush it."""
    print(line, flush=True)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines and flush them."""
    for line in lines:
        print_line(line)
