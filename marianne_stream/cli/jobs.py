"""`jobs`: list the jobs."""

from argparse import ArgumentParser, Namespace

from marianne_stream.cli import client_command
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.job_table import JobQuery, print_jobs
from marianne_stream.client.output import Output

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

    async def command(client: ApiClient, output: Output) -> int:
        return await print_jobs(client, output, query, as_json=options.json)

    return client_command.run_client(options, command)
