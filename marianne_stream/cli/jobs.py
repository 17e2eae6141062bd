"""`jobs`: list the jobs."""

from argparse import ArgumentParser, Namespace
from functools import partial

from marianne_stream.cli import client_command
from marianne_stream.client.job_table import JobQuery, print_jobs

EXAMPLES = """\
marianne-stream jobs
marianne-stream jobs --status running
marianne-stream jobs --name nightly --limit 10
marianne-stream jobs --json | jq -r .job_id"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.add_argument("--status", default="", help="List only jobs with this status.")
    parser.add_argument(
        "--name",
        metavar="TEXT",
        default="",
        help="List only jobs with this in their id.",
    )
    parser.add_argument(
        "--limit",
        metavar="N",
        type=client_command.make_int_parser(1, 1_000_000),
        help="List only this many jobs, the newest (1 to 1000000; default: all).",
    )
    client_command.add_client_arguments(parser, "List the jobs, newest first.", EXAMPLES)


def run(options: Namespace) -> int:
    """List the jobs."""
    query = JobQuery(options.status, options.name, options.limit)
    return client_command.run_client(
        options, partial(print_jobs, query=query, as_json=options.json)
    )
