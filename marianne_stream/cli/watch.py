"""`watch`: show the progress of jobs until they end."""

from argparse import ArgumentParser, Namespace

from marianne_stream.cli import client_command
from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.live_job import LiveJob
from marianne_stream.client.live_table import LiveTable
from marianne_stream.client.output import Output
from marianne_stream.client.renderers import JobRenderer, JsonRenderer, PlainTextRenderer
from marianne_stream.client.watch_jobs import watch_jobs, watch_roster
from marianne_stream.wire.job_ids import escape

DESCRIPTION = """\
Show the progress of jobs: as bars on a terminal, else a line for each change.
A terminal also shows the sheets and the newest log lines of a single job.
Ends when all jobs have ended. Without a JOB: all running jobs, until Ctrl-C.

Exit codes: 0 completed, 1 failed, 2 usage, 3 not found, 4 cancelled,
5 server unreachable; of several jobs the worst: 5, 3, 1, 4, 0."""

EXAMPLES = """\
marianne-stream watch
marianne-stream watch nightly weekly
marianne-stream watch nightly && ./publish
marianne-stream watch --json nightly | jq -c .data"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.add_argument("job", metavar="JOB", type=escape, nargs="*", help="Job id.")
    client_command.add_client_arguments(parser, DESCRIPTION, EXAMPLES)


def run(options: Namespace) -> int:
    """Watch the jobs."""
    jobs: list[str] = options.job
    for job in jobs:
        # Report an invalid id before anything is drawn.
        job_path(job)

    async def watch(client: ApiClient, renderer: JobRenderer) -> int:
        if jobs:
            return await watch_jobs(client, renderer, jobs)
        return await watch_roster(client, renderer)

    async def command(client: ApiClient, output: Output) -> int:
        if options.json:
            return await watch(client, JsonRenderer(output))
        if not output.can_redraw:
            return await watch(client, PlainTextRenderer(output, job_ids=jobs))
        display = (
            LiveJob(output, client, jobs[0])
            if len(set(jobs)) == 1
            else LiveTable(output, client, empty_text="No job is running.")
        )
        async with display.running():
            return await watch(client, display)

    return client_command.run_client(options, command)
