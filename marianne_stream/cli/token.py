"""`token`: print the server's token, and generate it if there is none."""

from argparse import ArgumentParser, Namespace

from marianne_stream.auth.token_source import ensure_token_source
from marianne_stream.cli.commands import PROGRAM
from marianne_stream.cli.settings_options import add_settings_options, make_settings
from marianne_stream.errors import SettingsError


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.description = "Print the server's token: the first one that may read all jobs."
    parser.epilog = (
        f'Example: curl -H "Authorization: Bearer $({PROGRAM} token)" '
        "http://127.0.0.1:8765/api/jobs"
    )
    add_settings_options(parser, ("token_file", "data_dir"))


def run(options: Namespace) -> int:
    """Print the token.

    Raises:
        SettingsError: no token may read all jobs, or the tokens cannot be read or generated.
    """
    settings = make_settings(vars(options))
    token_source = ensure_token_source(settings.token_file, settings.data_dir)
    text, token = token_source.read_preferred_token()
    if not token.job_scope.matches_all or token.is_expired:
        raise SettingsError(f"no token in {token_source.path} may read all jobs: add one")
    print(text)
    return 0
