"""`serve`: serve the jobs of a conductor."""

import asyncio
import logging
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Mapping

from marianne_stream.auth.token_source import ensure_token_source
from marianne_stream.cli.commands import PROGRAM
from marianne_stream.cli.settings_options import add_settings_options, make_settings, print_lines
from marianne_stream.config.loading import is_readable_by_others, negated_option, option_name
from marianne_stream.config.logging_config import configure_logging
from marianne_stream.config.settings import ENV_PREFIX, Settings
from marianne_stream.server.run import serve
from marianne_stream.server.sockets import is_worker
from marianne_stream.server.workers import run_workers
from marianne_stream.version import VERSION

logger = logging.getLogger(__name__)

EPILOG = f"""\
Settings are also read from the environment ({ENV_PREFIX}PORT and so on)
and from the file that --config names. The command line overrides the
environment, which overrides the file.

Examples:
  {PROGRAM} serve --port 9000
  {PROGRAM} serve --host 0.0.0.0 --token-file ~/tokens
  {PROGRAM} serve --config ~/marianne-stream.toml
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options to a parser: all settings."""
    parser.description = "Serve the jobs of a Marianne conductor as Server-Sent Events."
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {VERSION}")
    add_settings_options(parser, Settings.model_fields)


def run(options: Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    options_by_name = vars(options)
    settings = make_settings(options_by_name)
    configure_logging(settings.log_level, settings.log_format)
    config = options_by_name["config"]
    if settings.notifications and config is not None and is_readable_by_others(config):
        logger.warning("settings file may be read by others path=%s: use chmod 600", config)
    if settings.workers > 1 and not is_worker():
        if not settings.no_auth:
            # Generate the token here, or each worker would generate one.
            ensure_token_source(settings.token_file, settings.data_dir)
        command = [
            sys.executable,
            "-m",
            "marianne_stream",
            "serve",
            *format_options(options_by_name),
        ]
        return asyncio.run(run_workers(settings, command, print_lines))
    return asyncio.run(
        serve(
            settings,
            announce=print_lines,
            load_settings=lambda: make_settings(options_by_name),
            settings_file=config,
        )
    )


def format_options(options_by_name: Mapping[str, object]) -> list[str]:
    """Convert parsed options back to command-line arguments."""
    arguments = []
    for name, value in options_by_name.items():
        if isinstance(value, bool):
            arguments.append(option_name(name) if value else negated_option(name))
        elif value is not None:
            arguments.append(f"{option_name(name)}={value}")
    return arguments
