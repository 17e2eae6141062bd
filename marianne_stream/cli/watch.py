"""`watch`: shows how far jobs are, until they end."""

from argparse import ArgumentParser, Namespace

from marianne_stream.cli import client_command
from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.live_table import LiveTable
from marianne_stream.client.output import Output
from marianne_stream.client.renderers import JobRenderer, JsonRenderer, PlainTextRenderer
from marianne_stream.client.watch_jobs import watch_jobs
from marianne_stream.client.watch_roster import watch_roster
from marianne_stream.wire.job_ids import escape

DESCRIPTION = """\
Shows how far jobs are: as bars on a terminal, else as a line for each change.
Ends when all of them have. Without a JOB: all that run, until Ctrl-C.

Exit codes: 0 completed, 1 failed, 2 usage, 3 not found, 4 cancelled,
5 the server cannot be reached; of several jobs the worst: 5, 3, 1, 4, 0."""

EXAMPLES = """\
marianne-stream watch
marianne-stream watch nightly weekly
marianne-stream watch nightly && ./publish
marianne-stream watch --json nightly | jq -c .data"""


def add_arguments(parser: ArgumentParser) -> None:
    """Gives a parser the verb's options."""
    parser.add_argument("job", metavar="JOB", type=escape, nargs="*", help="A job's id.")
    client_command.add_client_arguments(parser, DESCRIPTION, EXAMPLES)


def run(options: Namespace) -> int:
    """Watches them."""
    jobs: list[str] = options.job
    for job in jobs:
        # A fault of the command line is told before anything is drawn.
        job_path(job)

    async def watch(server: ApiClient, view: JobRenderer) -> int:
        return await (watch_jobs(server, view, jobs) if jobs else watch_roster(server, view))

    async def verb(server: ApiClient, output: Output) -> int:
        if options.json:
            return await watch(server, JsonRenderer(output))
        if not output.can_redraw:
            return await watch(server, PlainTextRenderer(output, job_ids=jobs))
        board = LiveTable(output, server.reporter, server.clock, empty_text="No job is running.")
        async with board.running():
            return await watch(server, board)

    return client_command.run_client(options, verb)
