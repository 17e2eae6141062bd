"""`token`: print the server's token, and add, list and revoke the tokens of its file."""

import sys
from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from datetime import datetime
from functools import partial
from pathlib import Path

from marianne_stream.auth.token_editor import NewToken, add_token, list_tokens, revoke_token
from marianne_stream.auth.token_source import ensure_token_source, find_token_source
from marianne_stream.auth.tokens import NO_RIGHTS, Token
from marianne_stream.cli.commands import PROGRAM
from marianne_stream.cli.settings_options import add_settings_options, make_settings, print_line
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.config.settings import Settings
from marianne_stream.errors import SettingsError

SETTINGS = ("token_file", "data_dir")

RELOAD_NOTE = (
    "A running server takes this over at SIGHUP (systemctl reload marianne-stream), or at a "
    "restart if systemd passes it the file (LoadCredential=)."
)

EPILOG = f"""\
Examples:
  curl -H "Authorization: Bearer $({PROGRAM} token)" localhost:8765/ready
  {PROGRAM} token add monitoring --jobs 'nightly-*' --expires 2099-12-31
  {PROGRAM} token list
  {PROGRAM} token revoke monitoring
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options and actions to a parser."""
    parser.description = (
        "Print the server's token: the first one that may read all jobs. Or, with an\n"
        "action, change its token file."
    )
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add_settings_options(parser, SETTINGS)
    actions = parser.add_subparsers(
        dest="action", metavar="ACTION", help="add, list or revoke (default: print the token)."
    )
    # An option that is left out here keeps the value that it has in front of the action.
    add_action = partial(actions.add_parser, argument_default=SUPPRESS, allow_abbrev=False)
    add = add_action("add", description="Add a token and print it, once.")
    add.add_argument("name", metavar="NAME", help="Name in the log.")
    add.add_argument(
        "--jobs",
        metavar="PATTERN",
        nargs="+",
        help="Patterns of job ids that the token may read (default: all jobs).",
    )
    add.add_argument("--expires", metavar="TIME", help="Date or time in ISO 8601.")
    add.add_argument("--rights", metavar="RIGHTS", help="files, or none.")
    listing = add_action("list", description="List the tokens, without secrets.")
    revoke = add_action("revoke", description="Revoke a token.")
    name = revoke.add_argument("name", metavar="NAME", help="Name of the token, as in the list.")
    name.completer = complete_names  # type: ignore[attr-defined]  # read by argcomplete
    for each in (add, listing, revoke):
        add_settings_options(each, SETTINGS)


def run(options: Namespace) -> int:
    """Print the token, or run an action.

    Raises:
        SettingsError: no token may read all jobs, the tokens cannot be read, generated or written,
            or an argument is invalid.
    """
    settings = load_token_settings(options)
    if options.action is None:
        return print_token(settings)
    path = find_token_file(settings)
    if options.action == "list":
        for line in format_tokens(list_tokens(path)):
            print_line(line)
        return 0
    if options.action == "revoke":
        revoke_token(path, options.name)
        print_line(f"{options.name} is revoked in {path}.")
    else:
        given = vars(options)
        new = NewToken(
            options.name, given.get("jobs", ()), given.get("rights"), given.get("expires")
        )
        print_line(add_token(path, new))
    print(RELOAD_NOTE, file=sys.stderr)
    return 0


def complete_names(*, prefix: str, parsed_args: Namespace, **_: object) -> list[str]:
    """Return the names of tokens that begin with a prefix, for a shell; none if it fails."""
    try:
        tokens = list_tokens(find_token_file(load_token_settings(parsed_args)))
    except SettingsError:
        return []
    return [token.name for token in tokens if token.name.startswith(prefix)]


def load_token_settings(options: Namespace) -> Settings:
    """Load the settings of the command's options."""
    names = ("config", *SETTINGS)
    return make_settings({name: value for name, value in vars(options).items() if name in names})


def print_token(settings: Settings) -> int:
    """Print the token, and generate it if there is none."""
    token_source = ensure_token_source(settings.token_file, settings.data_dir)
    text, token = token_source.read_preferred_token()
    if not token.job_scope.matches_all or token.is_expired:
        raise SettingsError(f"no token in {token_source.path} may read all jobs: add one")
    print(text)
    return 0


def find_token_file(settings: Settings) -> Path:
    """Return the token file to change; raise SettingsError if there is none."""
    source = find_token_source(settings.token_file, settings.data_dir)
    if source is None:
        raise SettingsError(
            f"no token file: set token_file, or generate a token with {PROGRAM} token"
        )
    if source.passed_by_systemd:
        raise SettingsError(
            f"{source.path} is a copy that systemd has made: name the file of LoadCredential= with "
            "--token-file"
        )
    return source.path


def format_tokens(tokens: list[Token]) -> list[str]:
    """Return a table of tokens, without secrets."""
    rows = [("NAME", "JOBS", "RIGHTS", "EXPIRES")]
    for token in tokens:
        jobs = strip_to_one_line(" ".join(token.job_scope.patterns)) or "all jobs"
        rights = ",".join(sorted(token.rights)) or NO_RIGHTS
        rows.append((token.name, jobs, rights, format_expiry(token)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def format_expiry(token: Token) -> str:
    """Return when a token expires, in local time."""
    if token.expires_at_s is None:
        return "never"
    text = datetime.fromtimestamp(token.expires_at_s).astimezone().isoformat(timespec="seconds")
    return f"{text} (expired)" if token.is_expired else text
