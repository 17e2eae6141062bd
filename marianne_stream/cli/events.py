"""`events`: print the conductor's events as they happen."""

from argparse import ArgumentParser, Namespace
from functools import partial

from marianne_stream.cli import client_command
from marianne_stream.client.event_printer import (
    EVENT_GROUPS,
    MAX_EVENTS,
    EventQuery,
    print_events,
)
from marianne_stream.wire.job_ids import escape

DESCRIPTION = """\
Print the latest events of the conductor, then new ones as they happen, until
Ctrl-C: events of one job, or of all. By default, those of jobs and sheets; the
conductor also reports changed files, and the processes of its host."""

EXAMPLES = """\
marianne-stream events
marianne-stream events nightly -n 0
marianne-stream events nightly --group files
marianne-stream events --json | jq -c 'select(.event == "job.failed")'"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.add_argument(
        "job", metavar="JOB", type=escape, nargs="?", help="Job id (default: all jobs)."
    )
    parser.add_argument(
        "--group",
        choices=EVENT_GROUPS,
        default="job",
        help="Print only events of jobs and sheets (job, the default), of files, or of processes.",
    )
    parser.add_argument(
        *("-n", "--lines"),
        metavar="N",
        type=client_command.make_int_parser(0, MAX_EVENTS),
        default=50,
        help=f"Number of past events to print first (0 to {MAX_EVENTS}; default: 50).",
    )
    parser.add_argument(
        "--since-cursor",
        metavar="CURSOR",
        default="",
        help="Start after this event, whose cursor --json has printed; overrides -n.",
    )
    client_command.add_client_arguments(parser, DESCRIPTION, EXAMPLES)


def run(options: Namespace) -> int:
    """Print events."""
    query = EventQuery(options.job, options.lines, cursor=options.since_cursor, group=options.group)
    return client_command.run_client(
        options, partial(print_events, query=query, as_json=options.json)
    )
