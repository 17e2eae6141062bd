"""`events`: prints what the conductor says, as it comes."""

from argparse import ArgumentParser, Namespace

from marianne_stream.cli import client_command
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.event_printer import MAX_EVENTS, EventQuery, print_events
from marianne_stream.client.output import Output
from marianne_stream.wire.job_ids import escape

DESCRIPTION = """\
Prints the conductor's events, the newest first and then what comes, until
Ctrl-C: those of one job, or all."""

EXAMPLES = """\
marianne-stream events
marianne-stream events nightly -n 0
marianne-stream events --json | jq -c 'select(.event == "job.failed")'"""


def add_arguments(parser: ArgumentParser) -> None:
    """Gives a parser the verb's options."""
    parser.add_argument(
        "job", metavar="JOB", type=escape, nargs="?", help="A job's id; left out, all."
    )
    parser.add_argument(
        *("-n", "--lines"),
        metavar="N",
        type=client_command.make_int_parser(0, MAX_EVENTS),
        default=50,
        help=f"How many of the newest events come first (0 to {MAX_EVENTS}; default: 50).",
    )
    parser.add_argument(
        "--since-cursor",
        metavar="CURSOR",
        default="",
        help="Begins behind this event, as --json gave it, and leaves -n aside.",
    )
    client_command.add_client_arguments(parser, DESCRIPTION, EXAMPLES)


def run(options: Namespace) -> int:
    """Prints them."""
    wish = EventQuery(options.job, options.lines, options.since_cursor)

    async def verb(server: ApiClient, output: Output) -> int:
        return await print_events(server, output, wish, as_json=options.json)

    return client_command.run_client(options, verb)
