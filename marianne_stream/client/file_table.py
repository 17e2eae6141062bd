"""`files`: the files of a job's workspace as a table."""

from collections.abc import Mapping, Sequence

import msgspec
from rich.filesize import decimal

from marianne_stream.client.address import job_path
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import FileBody, FileListBody
from marianne_stream.client.fitted_table import FittedRow, FittedTable, TableColumn
from marianne_stream.client.output import ELLIPSIS, Output
from marianne_stream.client.sanitize import strip_to_one_line
from marianne_stream.client.times import format_near_time, parse_iso_time

# Numbers of sheets that a row shows.
MAX_SHEETS = 4


async def print_files(
    client: ApiClient, output: Output, job_id: str, params: Mapping[str, str], *, as_json: bool
) -> int:
    """Print the files that the endpoint lists with these parameters, and return the exit code.

    Raises:
        MarianneStreamError: the server cannot be reached, or its response is an error.
    """
    page = await client.get_json_with_retry(job_path(job_id, "/files"), params, FileListBody)
    if as_json:
        output.write_objects(page.entries)
    elif page.entries:
        files = msgspec.convert(page.entries, list[FileBody])
        now_s = client.clock.now_s() if output.can_redraw else None
        make_file_table(files, now_s, width=output.console.width).print(output.console)
    else:
        client.reporter.report("no file matches" if "glob" in params else "no files")
    if page.truncated:
        client.reporter.report("not all files are listed: use --glob or --depth, or raise --limit")
    return 0


def make_file_table(files: Sequence[FileBody], now_s: float | None, *, width: int) -> FittedTable:
    """Return the table of files; times of the day of `now_s` have no date."""
    columns = [TableColumn("CHANGED", rank=2), TableColumn("SIZE"), TableColumn("SHEETS", rank=1)]
    sizes = ["" if file.size_bytes is None else decimal(file.size_bytes) for file in files]
    size_columns = max(map(len, sizes), default=0)
    rows = [
        FittedRow(
            [
                (format_near_time(parse_iso_time(file.modified_at), now_s), ""),
                (size.rjust(size_columns), ""),
                (format_sheets(file.sheets), ""),
            ],
            strip_to_one_line(file.path) + ("/" if file.kind == "folder" else ""),
            note_style="none",
        )
        for file, size in zip(files, sizes, strict=True)
    ]
    return FittedTable(columns, rows, note_heading="PATH", width=width)


def format_sheets(numbers: Sequence[int]) -> str:
    """Format the first numbers of sheets."""
    more = f" {ELLIPSIS}" if len(numbers) > MAX_SHEETS else ""
    return " ".join(map(str, numbers[:MAX_SHEETS])) + more
