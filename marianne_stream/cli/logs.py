"""`logs`: prints a job's log, and follows it."""

from argparse import ArgumentParser, Namespace

from marianne_stream.cli import client_command
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.log_context import print_matches
from marianne_stream.client.log_printer import MAX_TAIL_LINES, LogQuery, print_log
from marianne_stream.client.output import Output
from marianne_stream.errors import SettingsError
from marianne_stream.wire.job_ids import escape
from marianne_stream.wire.log_levels import LEVELS

DESCRIPTION = """\
Prints the newest lines of a job's log; with -f also what follows, until the job
and its log have ended. Colours of the lines are kept where the output takes
colours, other escape sequences nowhere."""

EXAMPLES = """\
marianne-stream logs nightly
marianne-stream logs nightly -n 1000 | less
marianne-stream logs nightly -f --level warning
marianne-stream logs nightly --since 2h
marianne-stream logs nightly -f --grep 'sheet (3|4)'
marianne-stream logs nightly --grep timeout -C 3
marianne-stream logs nightly --json | tail -n 1 | jq -r .cursor"""


MAX_CONTEXT_LINES = 50


def add_arguments(parser: ArgumentParser) -> None:
    """Gives a parser the verb's options."""
    parser.add_argument("job", metavar="JOB", type=escape, help="A job's id.")
    parser.add_argument(
        *("-n", "--lines"),
        metavar="N",
        type=client_command.make_int_parser(0, MAX_TAIL_LINES),
        default=100,
        help=f"How many of the newest lines come first (0 to {MAX_TAIL_LINES}; default: 100).",
    )
    parser.add_argument(
        *("-f", "--follow"), action="store_true", help="Goes on with what is written."
    )
    parser.add_argument(
        "--since-cursor",
        metavar="CURSOR",
        default="",
        help="Begins behind this place, as --json gave it, and leaves -n aside.",
    )
    parser.add_argument(
        "--since",
        metavar="WHEN",
        type=client_command.parse_time,
        help="Begins with the first line of this time or later, by the lines' own times, and "
        "leaves -n aside: 10m, 2h or 1d ago, or a time in ISO 8601, local without a zone.",
    )
    parser.add_argument(
        "--level", choices=LEVELS, default="", help="Only lines of this level, or a graver one."
    )
    parser.add_argument(
        "--grep",
        metavar="REGEX",
        default="",
        help="Only lines in which this is found; the syntax is that of RE2, (?i) for any case.",
    )
    parser.add_argument(
        *("-C", "--context"),
        metavar="N",
        type=client_command.make_int_parser(0, MAX_CONTEXT_LINES),
        help=f"With --grep or --level, and without -f: N lines before and behind each that is "
        f"found (0 to {MAX_CONTEXT_LINES}).",
    )
    client_command.add_client_arguments(parser, DESCRIPTION, EXAMPLES)


def run(options: Namespace) -> int:
    """Prints it.

    Raises:
        SettingsError: options do not fit together.
    """
    context: int | None = options.context
    if context is not None and (
        options.follow or options.since_cursor or options.since is not None
    ):
        raise SettingsError("-C cannot be given with -f, --since or --since-cursor")
    if context is not None and not (options.level or options.grep):
        raise SettingsError("-C needs --grep or --level: it shows lines around those that match")
    if options.since is not None and options.since_cursor:
        raise SettingsError("--since and --since-cursor cannot be given together")
    wish = LogQuery(
        options.job,
        options.lines,
        is_following=options.follow,
        cursor=options.since_cursor,
        since_s=options.since,
        level=options.level,
        regex=options.grep,
    )

    async def verb(server: ApiClient, output: Output) -> int:
        if context is not None:
            return await print_matches(server, output, wish, context, as_json=options.json)
        return await print_log(server, output, wish, as_json=options.json)

    return client_command.run_client(options, verb)
