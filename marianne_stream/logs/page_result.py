"""Result of reading a page of a log."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from marianne_stream.logs.page_lines import PageLine
from marianne_stream.logs.scans import Scan
from marianne_stream.wire.cursors import LogCursor
from marianne_stream.wire.log_lines import LogLine

StoppedBy = Literal["limit", "time", "start", "end"]


@dataclass(frozen=True, slots=True)
class PageResult:
    """Page of lines in order, and where to go on.

    Attributes:
        lines: the lines.
        before: cursor of the oldest line that was searched; None if there is none before it.
        after: cursor of the newest line; without lines, the position before what was searched.
        stopped_by: reason why the page ends.
        read_bytes: number of bytes searched.
        unread_bytes: number of bytes of the last file that were not searched.
        has_gap: whether a file between the lines is damaged.
        context: lines around matches, in no order; two matches may share one.
        partial: unfinished line behind the last one, if the page reaches it and it passes the
            filter.
        target: cursor of the line that the page was asked for by number or time.
    """

    lines: Sequence[PageLine]
    before: LogCursor | None
    after: LogCursor | None
    stopped_by: StoppedBy
    read_bytes: int
    unread_bytes: int
    has_gap: bool
    context: Sequence[PageLine] = ()
    partial: LogLine | None = None
    target: LogCursor | None = None

    def lines_with_context(self) -> Sequence[PageLine]:
        """Return the lines and their context in order, each once."""
        if not self.context:
            return self.lines
        # Files in the order of their lines, by inode and hash of the first line.
        files: dict[tuple[int, int], dict[int, PageLine]] = {}
        for one in chain(self.lines, self.context):
            cursor = one.cursor
            files.setdefault((cursor.inode, cursor.first_line_hash), {}).setdefault(
                cursor.offset, one
            )
        return tuple(lines[offset] for lines in files.values() for offset in sorted(lines))


def make_page(
    scan: Scan, before: LogCursor | None, after: LogCursor | None, end: StoppedBy | None
) -> PageResult:
    """Make a page of what a scan found."""
    return PageResult(
        tuple(scan.lines),
        before,
        after,
        end or ("limit" if scan.is_full else "time"),
        scan.read_bytes,
        scan.unread_bytes,
        scan.has_gap,
        tuple(scan.context),
    )


def concat_pages(older: PageResult, newer: PageResult, stopped_by: StoppedBy) -> PageResult:
    """Join two adjacent pages."""
    return PageResult(
        (*older.lines, *newer.lines),
        older.before,
        newer.after,
        stopped_by,
        older.read_bytes + newer.read_bytes,
        older.unread_bytes + newer.unread_bytes,
        older.has_gap or newer.has_gap,
        (*older.context, *newer.context),
        newer.partial,
    )
