"""`token`: prints the token that the server asks for; makes one where there is none yet."""

from argparse import ArgumentParser, Namespace

from marianne_stream.auth.token_source import ensure_token_source
from marianne_stream.cli.commands import PROGRAM
from marianne_stream.cli.settings_options import add_settings_options, make_settings
from marianne_stream.errors import SettingsError


def add_arguments(parser: ArgumentParser) -> None:
    """Gives a parser the settings that say where tokens are."""
    parser.description = "Prints the token that the server asks for; the first for all jobs."
    parser.epilog = (
        f'Example: curl -H "Authorization: Bearer $({PROGRAM} token)" '
        "http://127.0.0.1:8765/api/jobs"
    )
    add_settings_options(parser, ("token_file", "data_dir"))


def run(options: Namespace) -> int:
    """Prints it.

    Raises:
        SettingsError: there is none for all jobs, or it cannot be read or made.
    """
    settings = make_settings(vars(options))
    place = ensure_token_source(settings.token_file, settings.data_dir)
    token = place.read_unrestricted_token()
    if token is None:
        raise SettingsError(f"{place.path} has no token for all jobs")
    print(token)
    return 0
