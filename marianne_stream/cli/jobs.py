"""`jobs`: lists the jobs."""

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
    """Gives a parser the verb's options."""
    parser.add_argument("--status", default="", help="Only jobs with exactly this status.")
    parser.add_argument(
        "--name", metavar="TEXT", default="", help="Only jobs whose id holds this, whatever case."
    )
    parser.add_argument(
        "--limit",
        metavar="N",
        type=client_command.make_int_parser(1, 1_000_000),
        help="At most so many, the newest (1 to 1000000; default: all).",
    )
    client_command.add_client_arguments(parser, "Lists the jobs, the newest first.", EXAMPLES)


def run(options: Namespace) -> int:
    """Lists them."""
    wanted = JobQuery(options.status, options.name, options.limit)

    async def verb(server: ApiClient, output: Output) -> int:
        return await print_jobs(server, output, wanted, as_json=options.json)

    return client_command.run_client(options, verb)
