"""`show`: show a job with its sheets, or one sheet in full."""

from argparse import ArgumentParser, Namespace

from marianne_stream.cli import client_command
from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.job_view import print_job
from marianne_stream.client.output import Output
from marianne_stream.client.sheet_view import print_sheet
from marianne_stream.wire.job_ids import escape

DESCRIPTION = """\
Show a job: status, times, estimate, cost, hooks, and a table of its sheets.
With --sheet: everything that is known of one sheet, with its output."""

EXAMPLES = """\
marianne-stream show nightly
marianne-stream show nightly --sheet 3
marianne-stream show nightly --json | jq .eta_at"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.add_argument("job", metavar="JOB", type=escape, help="Job id.")
    parser.add_argument(
        "--sheet",
        metavar="N",
        type=client_command.make_int_parser(0, client_command.MAX_SHEET_NUMBER),
        help="Number of a sheet to show in full.",
    )
    client_command.add_client_arguments(parser, DESCRIPTION, EXAMPLES)


def run(options: Namespace) -> int:
    """Show the job or the sheet."""
    # Report an invalid id before a connection is made.
    job_path(options.job)

    async def command(client: ApiClient, output: Output) -> int:
        if options.sheet is None:
            return await print_job(client, output, options.job, as_json=options.json)
        return await print_sheet(client, output, options.job, options.sheet, as_json=options.json)

    return client_command.run_client(options, command)
