"""`runs`: list the recorded runs of a job."""

from argparse import ArgumentParser, Namespace
from functools import partial

from marianne_stream.cli import client_command
from marianne_stream.client.address import job_path
from marianne_stream.client.job_view import print_runs
from marianne_stream.wire.job_ids import escape

EXAMPLES = """\
marianne-stream runs nightly
marianne-stream runs nightly --json | jq .status"""

DEFAULT_RUNS = 10
MAX_RUNS = 100


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.add_argument("job", metavar="JOB", type=escape, help="Job id.")
    parser.add_argument(
        "--limit",
        metavar="N",
        default=DEFAULT_RUNS,
        type=client_command.make_int_parser(1, MAX_RUNS),
        help=f"List only this many runs (1 to {MAX_RUNS}; default: {DEFAULT_RUNS}).",
    )
    client_command.add_client_arguments(
        parser, "List the runs of a job that the server has recorded, newest first.", EXAMPLES
    )


def run(options: Namespace) -> int:
    """List the runs."""
    # Report an invalid id before a connection is made.
    job_path(options.job)
    return client_command.run_client(
        options,
        partial(print_runs, job_id=options.job, limit=options.limit, as_json=options.json),
    )
