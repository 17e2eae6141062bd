"""`logs`: print or follow the log of a job."""

from argparse import ArgumentParser, Namespace
from functools import partial

from marianne_stream.cli import client_command
from marianne_stream.client.log_context import print_matches
from marianne_stream.client.log_printer import MAX_TAIL_LINES, LogQuery, print_log
from marianne_stream.errors import SettingsError
from marianne_stream.wire.job_ids import escape
from marianne_stream.wire.log_levels import LEVELS

DESCRIPTION = """\
Print the last lines of a job's log; with -f also new lines, until the job and
its log have ended. Colours in the lines are kept if the output has colours; all
other escape sequences are removed."""

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
    """Add the command's options to a parser."""
    parser.add_argument("job", metavar="JOB", type=escape, help="Job id.")
    parser.add_argument(
        *("-n", "--lines"),
        metavar="N",
        type=client_command.make_int_parser(0, MAX_TAIL_LINES),
        default=100,
        help=f"Number of past lines to print first (0 to {MAX_TAIL_LINES}; default: 100).",
    )
    parser.add_argument(
        *("-f", "--follow"), action="store_true", help="Print new lines as they are written."
    )
    parser.add_argument(
        "--since-cursor",
        metavar="CURSOR",
        default="",
        help="Start after this line, whose cursor --json has printed; overrides -n.",
    )
    parser.add_argument(
        "--since",
        metavar="WHEN",
        type=client_command.parse_time,
        help="Start with the first line of this time or later, by the lines' timestamps; overrides "
        "-n. A duration before now (10m, 2h, 1d), or an ISO 8601 time, local without a time zone.",
    )
    add_filter_arguments(parser)
    client_command.add_client_arguments(parser, DESCRIPTION, EXAMPLES)


def add_filter_arguments(parser: ArgumentParser) -> None:
    """Add the options that select lines."""
    parser.add_argument(
        "--level", choices=LEVELS, default="", help="Print only lines of this level or above."
    )
    parser.add_argument(
        "--grep",
        metavar="REGEX",
        default="",
        help="Print only lines that match (RE2 syntax; (?i) ignores case).",
    )
    parser.add_argument(
        *("-C", "--context"),
        metavar="N",
        type=client_command.make_int_parser(0, MAX_CONTEXT_LINES),
        help="With --grep or --level, and without -f: print N lines before and after each match "
        f"(0 to {MAX_CONTEXT_LINES}).",
    )


def run(options: Namespace) -> int:
    """Print the log.

    Raises:
        SettingsError: options exclude each other.
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
    query = LogQuery(
        options.job,
        options.lines,
        is_following=options.follow,
        cursor=options.since_cursor,
        since_s=options.since,
        level=options.level,
        regex=options.grep,
    )
    command = print_log if context is None else partial(print_matches, context_lines=context)
    return client_command.run_client(options, partial(command, query=query, as_json=options.json))
