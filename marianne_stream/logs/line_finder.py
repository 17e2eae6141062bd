"""Lines of a file by number or by time. All functions block."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from marianne_stream.errors import ReadLimitError
from marianne_stream.logs.blocks import Block, ForwardBlocks
from marianne_stream.logs.decompression import DamagedFileError
from marianne_stream.logs.filters import LineFilter
from marianne_stream.logs.line_index import KnownLines
from marianne_stream.logs.log_file import LogFile
from marianne_stream.logs.positions import Position
from marianne_stream.wire.log_levels import parse_line_facts
from marianne_stream.wire.log_lines import LINE_LIMIT_BYTES

# Size of the text in which the first line with a time is looked for.
PROBE_BYTES = 64 * 1024

# Number of entries of the index that are looked at for a time where others give none.
MAX_PROBES = 256

# Limit of the text that a request parses line by line: three seconds of work. A block that ends
# before the time is passed over, so that with times in most lines one block is parsed. Beyond the
# limit, blocks that end without a time are passed over as well, until as much again is parsed of
# their ends.
MAX_PARSED_BYTES = 16 * 1024 * 1024

# The first and the last year of the calendar stand for an unset time and for "never". Lines with
# them do not ascend, and their moments may lie outside of the calendar.
UNSET_YEARS = ("0001-", "9999-")


@dataclass(frozen=True, slots=True)
class LineTime:
    """Time to find in a log.

    Attributes:
        moment: with a zone, a moment, and lines without a zone are taken for local time. Without a
            zone, a time as the lines show it.
    """

    moment: datetime

    def is_reached_by(self, logged_at: str) -> bool:
        """Return whether the time of a line is this time or a later one."""
        time = datetime.fromisoformat(logged_at)
        if self.moment.tzinfo is None:
            return time.replace(tzinfo=None) >= self.moment
        return (time if time.tzinfo is not None else time.astimezone()) >= self.moment


@dataclass(slots=True)
class TimeSearch:
    """Search for a time in the files of a log, from one to the next.

    Attributes:
        time: the time.
        remaining_bytes: size of the text that may still be parsed line by line.
    """

    time: LineTime
    remaining_bytes: int = field(default_factory=lambda: MAX_PARSED_BYTES)


def find_number(
    number: int, file: LogFile, index: KnownLines, job_filter: LineFilter | None
) -> Position | None:
    """Return the position before the line with a number; None if the file has fewer lines."""
    # The index of a compressed file is empty: it is read from its beginning.
    entry = max(0, bisect_left(index.counts, number) - 1)
    for block, known, job_lines in read_from(file, index, entry, job_filter):
        if known + len(job_lines) >= number:
            return make_position(file, block, job_lines[number - known - 1], number - 1)
    return None


def find_time(
    search: TimeSearch, file: LogFile, index: KnownLines, job_filter: LineFilter | None
) -> Position | None:
    """Return the position before the first line that reaches a time; None if no line does.

    The times of the lines are taken to ascend. If the limit is reached without any time in this
    file, its lines are taken to have none.

    Raises:
        ReadLimitError: too many lines without a time follow one that is earlier.
    """
    time = search.time
    entry, has_times = find_entry_before(time, file, index)
    for block, known, job_lines in read_from(file, index, entry, job_filter):
        last = find_first_time(reversed(block.text[-PROBE_BYTES:].split(b"\n")))
        has_times = has_times or last is not None
        if last is not None and not time.is_reached_by(last):
            continue
        if search.remaining_bytes <= 0:
            if not has_times:
                return None
            if search.remaining_bytes <= -MAX_PARSED_BYTES:
                raise ReadLimitError(detail="Too many lines around this time give no time.")
            if last is None:
                search.remaining_bytes -= PROBE_BYTES
                continue
        lines = block.text.split(b"\n")
        for number, line in enumerate(job_lines, known):
            logged_at = parse_time(lines[line])
            has_times = has_times or logged_at is not None
            if logged_at is not None and time.is_reached_by(logged_at):
                return make_position(file, block, line, number)
        search.remaining_bytes -= len(block.text)
    return None


def find_entry_before(time: LineTime, file: LogFile, index: KnownLines) -> tuple[int, bool]:
    """Return the last entry of the index that begins before a time, and whether any gives a time.

    An entry without a time has the time of the next one that gives one.
    """
    low, high = 0, len(index.offsets)
    has_times, probes = False, 0
    while high - low > 1:
        middle = (low + high) // 2
        for entry in range(middle, high):
            first = read_first_time(file, index.offsets[entry])
            probes += 1
            if first is not None or probes >= MAX_PROBES:
                break
        has_times = has_times or first is not None
        if first is not None and not time.is_reached_by(first):
            low = entry
        else:
            high = middle
    return low, has_times


def begins_before(file: LogFile, time: LineTime) -> bool:
    """Return whether the first time of a file is before a time."""
    first = read_first_time(file, 0)
    return first is not None and not time.is_reached_by(first)


def read_first_time(file: LogFile, offset: int) -> str | None:
    """Return the first time behind the start of a line; None if none is near."""
    try:
        text = file.read(offset, PROBE_BYTES)
    except DamagedFileError:
        return None
    return find_first_time(text.split(b"\n"))


def find_first_time(lines: Iterable[bytes]) -> str | None:
    """Return the first time that one of some lines gives, or None."""
    return next((found for found in map(parse_time, lines) if found is not None), None)


def read_from(
    file: LogFile, index: KnownLines, entry: int, job_filter: LineFilter | None
) -> Iterator[tuple[Block, int, range | list[int]]]:
    """Yield blocks from an entry of the index on.

    Each comes with the number of the job's lines before it, and the indexes of its own.
    """
    start, known = index.offsets[entry], index.counts[entry]
    try:
        for block in ForwardBlocks(file, start, file.window_before(start)):
            job_lines = (
                range(block.line_count)
                if job_filter is None
                else list(job_filter.find_matches(block.text))
            )
            yield block, known, job_lines
            known += len(job_lines)
    except DamagedFileError:
        # The readable lines are all that the file has.
        return


def make_position(file: LogFile, block: Block, line: int, number: int) -> Position:
    """Return the position before a line of a block, before which there are `number` lines."""
    if not line:
        return Position(file, block.start, number, block.start_window)
    (previous,) = block.extract_lines([(line - 1, number)])
    return Position(file, previous.end, number, block.window_before(previous.end))


def parse_time(line: bytes) -> str | None:
    """Return the time at which a line was logged; None if it gives none."""
    logged_at = parse_line_facts(line[:LINE_LIMIT_BYTES].decode(errors="replace")).logged_at
    return None if logged_at is None or logged_at.startswith(UNSET_YEARS) else logged_at
