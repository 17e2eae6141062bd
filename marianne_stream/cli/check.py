"""`check`: check whether a server with these settings would work."""

import asyncio
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from contextlib import aclosing
from pathlib import Path

from marianne_stream.cli.commands import PROGRAM
from marianne_stream.cli.diagnostics.all_checks import run_checks
from marianne_stream.cli.settings_options import add_settings_options, make_settings, print_line
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.config.settings import Settings

EPILOG = f"""\
Exit codes: 0 no error, 1 an error, 2 invalid settings.

Examples:
  {PROGRAM} check
  {PROGRAM} check --config ~/marianne-stream.toml
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options to a parser: all settings."""
    parser.description = (
        "Read the settings as serve does, and check conductor, registry, logs, data_dir,\n"
        "tokens and Redis. Each line has what was found and what to do. The command\n"
        "changes nothing, and may run beside a server."
    )
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add_settings_options(parser, Settings.model_fields)


def run(options: Namespace) -> int:
    """Run the checks."""
    arguments = vars(options)
    return asyncio.run(print_findings(make_settings(arguments), arguments["config"]))


async def print_findings(settings: Settings, config: Path | None) -> int:
    """Print the result of each check, and return the exit code."""
    failed = False
    async with aclosing(run_checks(settings, config)) as found:
        async for finding in found:
            print_line(strip_to_one_line(finding.line))
            failed = failed or finding.level == "error"
    return 1 if failed else 0
