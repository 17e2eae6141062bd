"""`files`: list the files of a job's workspace, and print or follow one of them."""

from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable
from urllib.parse import quote

from marianne_stream.cli import client_command, logs
from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.file_printer import print_file
from marianne_stream.client.file_table import print_files
from marianne_stream.client.output import Output
from marianne_stream.errors import SettingsError
from marianne_stream.wire.job_ids import escape, unescape

DESCRIPTION = """\
List the files of a job's workspace, newest change first. With a PATH: write the
file as it is; a terminal gets text only. With --json or options that select
lines, as -f or -n: print its lines as 'logs' prints those of a log."""

EXAMPLES = """\
marianne-stream files nightly
marianne-stream files nightly --sort name --glob 'logs/*'
marianne-stream files nightly report.md | less
marianne-stream files nightly logs/sheet-01.stdout.log -f"""

DEFAULT_FILES = 100

# Options of a list, which are parameters of the endpoint.
LIST_OPTIONS = ("sort", "glob", "hidden", "depth", "limit")
LINE_OPTIONS = ("follow", "lines", "level", "grep", "context", "since", "since_cursor", "sheet")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.add_argument("job", metavar="JOB", type=escape, help="Job id.")
    parser.add_argument("path", metavar="PATH", nargs="?", help="Path of a file, as listed.")
    parser.add_argument(
        "--sort", choices=("change", "name"), help="Order of the list (default: change)."
    )
    parser.add_argument(
        "--glob", help="List only paths, or names if this has no /, that match: *, ?, [...]."
    )
    parser.add_argument(
        "--hidden", action="store_const", const="true", help="List names with a leading dot too."
    )
    for option, maximum, default, noun in (
        ("--depth", 32, 8, "levels of folders"),
        ("--limit", 20_000, DEFAULT_FILES, "files"),
    ):
        parser.add_argument(
            option,
            metavar="N",
            type=client_command.make_int_parser(1, maximum),
            help=f"List only so many {noun} (1 to {maximum}; default: {default}).",
        )
    logs.add_line_arguments(parser)
    client_command.add_client_arguments(parser, DESCRIPTION, EXAMPLES)


def run(options: Namespace) -> int:
    """List the files, or print one of them.

    Raises:
        SettingsError: options exclude each other.
    """
    logs.require_compatible(options)
    values = vars(options).items()
    # 0 is a number of lines.
    given = {
        name: str(value) for name, value in values if value not in (None, "") and value is not False
    }
    excluded = LIST_OPTIONS if options.path else LINE_OPTIONS
    if names := [name for name in excluded if name in given]:
        rule = "cannot be given with a PATH" if options.path else "needs a PATH"
        raise SettingsError(f"--{names[0].replace('_', '-')} {rule}")
    file = quote(unescape(options.path or "").encode("utf-8", "surrogateescape"))

    def command(client: ApiClient, output: Output) -> Awaitable[int]:
        if not file:
            params = {"limit": str(DEFAULT_FILES)}
            params |= {name: given[name] for name in LIST_OPTIONS if name in given}
            return print_files(client, output, options.job, params, as_json=options.json)
        if options.json or any(name in given for name in LINE_OPTIONS):
            query = logs.make_log_query(options, options.job, file)
            return logs.print_lines(client, output, query, options)
        return print_file(client, output, job_path(options.job, f"/files/{file}"))

    return client_command.run_client(options, command)
