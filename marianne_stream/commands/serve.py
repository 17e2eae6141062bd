"""`serve`: the server, until it is asked to end."""

import asyncio
import signal
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter

from marianne_stream.commands.settings_options import add_settings, announce, settings_from
from marianne_stream.commands.verbs import PROGRAM
from marianne_stream.log_output import configure_log
from marianne_stream.serve import serve
from marianne_stream.settings import ENVIRONMENT_PREFIX, Settings
from marianne_stream.version import VERSION

EPILOG = f"""\
Settings are also read from the environment ({ENVIRONMENT_PREFIX}PORT and so on)
and from the file that --config names; the command line wins over both, the
environment over the file.

Examples:
  {PROGRAM} serve --port 9000
  {PROGRAM} serve --host 0.0.0.0 --token-file ~/tokens
  {PROGRAM} serve --config ~/marianne-stream.toml
"""


def describe(parser: ArgumentParser) -> None:
    """Gives a parser all settings."""
    parser.description = "Streams the jobs of a Marianne conductor as Server-Sent Events."
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {VERSION}")
    add_settings(parser, Settings.model_fields)


def run(options: Namespace) -> int:
    """Serves until SIGTERM or SIGINT."""
    # Until it is listened to, it would end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    given = vars(options)
    settings = settings_from(given)
    configure_log(settings.log_level, settings.log_format)
    return asyncio.run(serve(settings, announce=announce, reread=lambda: settings_from(given)))
