"""The command line: the verbs, their options, and what they print."""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from marianne_stream import __version__, log_output
from marianne_stream.errors import MarianneStreamError, SettingsError
from marianne_stream.serve import serve
from marianne_stream.settings import ENVIRONMENT_PREFIX, Settings, allowed, load, option

PROGRAM = "marianne-stream"


EPILOG = f"""Settings are also read from the environment ({ENVIRONMENT_PREFIX}PORT and so on)
and from the file that --config names; the command line wins over both, the environment over the
file.
Other verbs: demo, which needs no conductor (see demo --help)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb, `serve` where none is named.

    Args:
        argv: the arguments behind the program's name; this process's own where they are left out.

    Returns:
        The exit code: 0, 1 for what cannot be done, 2 for what cannot be understood.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = arguments.pop(0) if arguments and arguments[0] in VERBS else "serve"
    try:
        return VERBS[verb](arguments)
    except SettingsError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    except MarianneStreamError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1


def serve_verb(arguments: Sequence[str]) -> int:
    """`serve`: the server, until it is asked to end."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Streams the jobs of a Marianne conductor as Server-Sent Events.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    add_settings(parser, Settings.model_fields)
    settings = settings_from(vars(parser.parse_args(arguments)))
    return run(settings)


def run(settings: Settings) -> int:
    """Serves with these settings."""
    log_output.configure(settings.log_level, settings.log_format)
    return asyncio.run(serve(settings, announce=announce))


def announce(line: str) -> None:
    """Prints a line at once, for whoever waits for it."""
    print(line, flush=True)


def add_settings(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Gives a parser an option for each of the named settings, and `--config`."""
    parser.add_argument("--config", metavar="FILE", type=Path, help="A TOML file of settings.")
    for name in names:
        field = Settings.model_fields[name]
        default = "none" if field.default is None else field.default
        common: dict[str, Any] = {
            "dest": name,
            "default": argparse.SUPPRESS,
            "help": f"{field.description} ({allowed(name)}; default: {default})".replace("%", "%%"),
        }
        if field.annotation is bool:
            parser.add_argument(option(name), action=argparse.BooleanOptionalAction, **common)
        else:
            parser.add_argument(option(name), metavar=name.upper(), **common)


def settings_from(arguments: dict[str, Any]) -> Settings:
    """The settings that parsed arguments give, `config` among them."""
    config = arguments.pop("config")
    return load(arguments, config)


VERBS = {"serve": serve_verb}
