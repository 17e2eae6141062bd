"""`logs`: print or follow the logs of jobs."""

from argparse import ArgumentParser, Namespace

from marianne_stream.cli import client_command
from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.job_selection import select_jobs
from marianne_stream.client.log_context import print_matches
from marianne_stream.client.log_printer import print_log
from marianne_stream.client.log_query import MAX_TAIL_LINES, LogQuery
from marianne_stream.client.merged_logs import print_logs
from marianne_stream.client.output import Output
from marianne_stream.errors import SettingsError
from marianne_stream.wire.job_ids import escape
from marianne_stream.wire.log_levels import LEVELS

DESCRIPTION = """\
Print the last lines of a job's log; with -f also new lines, until the job and
its log have ended. Of several jobs, each line begins with the name of its job.

A terminal shows levels in colour and JSON as text, and wraps lines between
words; a pipe or file gets the lines as they are. Colours in the lines are kept
if the output has colours; all other escape sequences are removed."""

EXAMPLES = """\
marianne-stream logs nightly
marianne-stream logs nightly -n 1000 | less
marianne-stream logs nightly -f --level warning
marianne-stream logs nightly --since 2h
marianne-stream logs nightly --sheet 3
marianne-stream logs nightly weekly -f
marianne-stream logs 'nightly*' -f --grep 'sheet (3|4)'
marianne-stream logs nightly --grep timeout -C 3
marianne-stream logs nightly --json | tail -n 1 | jq -r .cursor"""

DEFAULT_LINES = 100
MAX_CONTEXT_LINES = 50


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.add_argument(
        "job",
        metavar="JOB",
        type=escape,
        nargs="+",
        help="Job id, or a pattern of ids such as 'nightly*'.",
    )
    add_line_arguments(parser)
    client_command.add_client_arguments(parser, DESCRIPTION, EXAMPLES)


def add_line_arguments(parser: ArgumentParser) -> None:
    """Add the options that select lines of a log or file."""
    parser.add_argument(
        *("-n", "--lines"),
        metavar="N",
        type=client_command.make_int_parser(0, MAX_TAIL_LINES),
        help=f"Past lines to print first (0 to {MAX_TAIL_LINES}; default: {DEFAULT_LINES}).",
    )
    parser.add_argument(
        *("-f", "--follow"), action="store_true", help="Print new lines as they are written."
    )
    add_start_arguments(parser)
    add_filter_arguments(parser)


def add_start_arguments(parser: ArgumentParser) -> None:
    """Add the options that replace the number of past lines."""
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
    parser.add_argument(
        "--sheet",
        metavar="N",
        type=client_command.make_int_parser(0, client_command.MAX_SHEET_NUMBER),
        help="Print the lines that were written while this sheet ran, by the lines' timestamps; "
        "overrides -n.",
    )


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
    names: list[str] = options.job
    for name in names:
        # Report an invalid id before a connection is made.
        job_path(name)
    require_compatible(options)
    if len(names) > 1:
        require_several_allowed(options)
    query = make_log_query(options, names[0])

    async def command(client: ApiClient, output: Output) -> int:
        jobs = await select_jobs(client, names)
        if not jobs.is_one_job:
            require_several_allowed(options)
            return await print_logs(client, output, query, jobs, as_json=options.json)
        return await print_lines(client, output, query, options)

    return client_command.run_client(options, command)


def make_log_query(options: Namespace, job_id: str, file: str = "") -> LogQuery:
    """Return the query of a job's log, or of a file with a percent-encoded path."""
    return LogQuery(
        job_id,
        DEFAULT_LINES if options.lines is None else options.lines,
        is_following=options.follow,
        cursor=options.since_cursor,
        since_s=options.since,
        sheet=options.sheet,
        level=options.level,
        regex=options.grep,
        file=file,
    )


async def print_lines(
    client: ApiClient, output: Output, query: LogQuery, options: Namespace
) -> int:
    """Print one log or file; raises MarianneStreamError if the server does not send it."""
    if options.context is not None:
        return await print_matches(client, output, query, options.context, as_json=options.json)
    return await print_log(client, output, query, as_json=options.json)


def require_compatible(options: Namespace) -> None:
    """Raise SettingsError if options exclude each other."""
    starts = {
        "--since": options.since is not None,
        "--since-cursor": bool(options.since_cursor),
        "--sheet": options.sheet is not None,
    }
    given = [name for name, is_given in starts.items() if is_given]
    if len(given) > 1:
        raise SettingsError(f"{given[0]} and {given[1]} cannot be given together")
    if options.follow and options.sheet is not None:
        raise SettingsError("--sheet cannot be given with -f")
    if options.context is not None:
        if options.follow or options.since_cursor:
            raise SettingsError("-C cannot be given with -f or --since-cursor")
        if not (options.level or options.grep):
            raise SettingsError(
                "-C needs --grep or --level: it shows lines around those that match"
            )


def require_several_allowed(options: Namespace) -> None:
    """Raise SettingsError if an option needs one job, named by its id."""
    for name, is_given in {
        "--since-cursor": bool(options.since_cursor),
        "-C": options.context is not None,
    }.items():
        if is_given:
            raise SettingsError(f"{name} cannot be given with several jobs or a pattern")
