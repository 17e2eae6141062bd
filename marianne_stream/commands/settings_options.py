"""Settings as options of a verb, and back."""

from argparse import SUPPRESS, ArgumentParser, BooleanOptionalAction
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from marianne_stream.settings import Settings, allowed, default_text, load, option


def add_settings(parser: ArgumentParser, names: Iterable[str]) -> None:
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


def settings_from(options: dict[str, Any]) -> Settings:
    """The settings that parsed options give, `config` among them."""
    return load(
        {name: value for name, value in options.items() if name != "config"}, options["config"]
    )


def announce(line: str) -> None:
    """Prints a line at once, for whoever waits for it."""
    print(line, flush=True)
