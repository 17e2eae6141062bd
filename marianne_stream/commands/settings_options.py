"""Settings as options of a verb, and back."""

from argparse import SUPPRESS, ArgumentParser, BooleanOptionalAction
from collections.abc import Collection
from pathlib import Path
from typing import Any

from marianne_stream.commands.verbs import RenamedOption
from marianne_stream.settings import RENAMED, Settings, allowed, default_text, load, option


def add_settings(parser: ArgumentParser, names: Collection[str]) -> None:
    """Gives a parser an option for each of the named settings, and `--config`."""
    parser.add_argument("--config", metavar="FILE", type=Path, help="A TOML file of settings.")
    for name in names:
        field = Settings.model_fields[name]
        default = default_text(name)
        common: dict[str, Any] = {
            "dest": name,
            "default": SUPPRESS,
            "help": f"{field.description} ({allowed(name)}; default: {default})".replace("%", "%%"),
        }
        if field.annotation is bool:
            parser.add_argument(option(name), action=BooleanOptionalAction, **common)
        else:
            is_number = "number" in allowed(name)
            parser.add_argument(option(name), metavar="N" if is_number else name.upper(), **common)
    for old, new in RENAMED.items():
        if new in names:
            add_renamed_option(parser, old, new)


def add_renamed_option(parser: ArgumentParser, old: str, new: str) -> None:
    """Add the old name of an option; using it is an error that gives the new name."""
    names = [(option(old), option(new))]
    if Settings.model_fields[new].annotation is bool:
        names.append((option(f"no_{old}"), option(f"no_{new}")))
    for old_option, new_option in names:
        parser.add_argument(
            old_option,
            action=RenamedOption,
            const=new_option,
            nargs="?",
            default=SUPPRESS,
            help=SUPPRESS,
        )


def settings_from(options: dict[str, Any]) -> Settings:
    """The settings that parsed options give, `config` among them."""
    return load(
        {name: value for name, value in options.items() if name != "config"}, options["config"]
    )


def announce(line: str) -> None:
    """Prints a line at once, for whoever waits for it."""
    print(line, flush=True)
