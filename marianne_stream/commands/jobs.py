"""`jobs`: lists the jobs."""

from argparse import ArgumentParser, Namespace

from marianne_stream.client.jobs import Wanted, show_jobs
from marianne_stream.client.output import Output
from marianne_stream.client.server import Server
from marianne_stream.commands import terminal

EXAMPLES = """\
marianne-stream jobs
marianne-stream jobs --status running
marianne-stream jobs --name nightly --limit 10
marianne-stream jobs --json | jq -r .job_id"""


def describe(parser: ArgumentParser) -> None:
    """Gives a parser the verb's options."""
    parser.add_argument("--status", default="", help="Only jobs with exactly this status.")
    parser.add_argument(
        "--name", metavar="TEXT", default="", help="Only jobs whose id holds this, whatever case."
    )
    parser.add_argument(
        "--limit",
        metavar="N",
        type=terminal.whole_number(1, 1_000_000),
        help="At most so many, the newest (1 to 1000000; default: all).",
    )
    terminal.describe(parser, "Lists the jobs, the newest first.", EXAMPLES)


def run(options: Namespace) -> int:
    """Lists them."""
    wanted = Wanted(options.status, options.name, options.limit)

    async def verb(server: Server, output: Output) -> int:
        return await show_jobs(server, output, wanted, as_json=options.json)

    return terminal.run(options, verb)
