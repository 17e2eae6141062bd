"""`conductor`: show version, load and limits of the conductor, and the jobs that wait."""

from argparse import ArgumentParser, Namespace
from functools import partial

from marianne_stream.cli import client_command
from marianne_stream.client.conductor_facts import print_conductor

EXAMPLES = """\
marianne-stream conductor
marianne-stream conductor --json | jq .rate_limits"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options to a parser."""
    client_command.add_client_arguments(
        parser,
        "Show version, load, limits and rate limits of the conductor, and the jobs\nthat wait.",
        EXAMPLES,
    )


def run(options: Namespace) -> int:
    """Show the conductor."""
    return client_command.run_client(options, partial(print_conductor, as_json=options.json))
