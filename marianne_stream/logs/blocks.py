"""Lines of a file, read a block at a time, forwards or backwards.

All functions block. Memory is bounded: a line longer than a block is kept as it is displayed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from marianne_stream.logs.log_file import BLOCK_BYTES, LogFile
from marianne_stream.logs.rotation import FileMovedError
from marianne_stream.wire.cursors import HASH_WINDOW_BYTES, content_hash
from marianne_stream.wire.log_lines import LINE_LIMIT_BYTES, LineRenderer, LogLine, render_line
from marianne_stream.wire.log_text import UTF8_BOM


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive lines of a file, each with its newline, except perhaps the last one of the file.

    Attributes:
        start: offset of the first line.
        end: offset behind the last line.
        text: the lines. A line that is longer than a block stands alone, as it is displayed.
        start_window: bytes before `start` that a cursor hashes.
        end_window: bytes before `end` if `text` does not hold them; None otherwise.
    """

    start: int
    end: int
    text: bytes = field(repr=False)
    start_window: bytes = field(repr=False)
    end_window: bytes | None = field(default=None, repr=False)

    @property
    def line_count(self) -> int:
        """Number of lines."""
        return self.text.count(b"\n") + (not self.text.endswith(b"\n"))

    def window_before(self, end: int) -> bytes:
        """Return the bytes that a cursor hashes before the offset behind one of the lines."""
        if self.end_window is not None:
            return self.end_window
        end_in_text = end - self.start
        text = self.text[max(0, end_in_text - HASH_WINDOW_BYTES) : end_in_text]
        missing = HASH_WINDOW_BYTES - len(text)
        return self.start_window[-missing:] + text if missing else text

    def extract_lines(self, numbered_indexes: Sequence[tuple[int, int]]) -> list[LogLine]:
        """Return some lines, each given by its index in the block, from 0, and its line number."""
        if not numbered_indexes:
            return []
        pieces = self.text.split(b"\n")
        ends = list(accumulate(map(len, pieces)))
        return [
            self._make_line(pieces[index], ends[index] + index, number)
            for index, number in numbered_indexes
        ]

    def _make_line(self, piece: bytes, end_in_text: int, number: int) -> LogLine:
        terminated = end_in_text < len(self.text)
        end = self.start + end_in_text + terminated if self.end_window is None else self.end
        text = render_line(piece)
        truncated = len(text) > LINE_LIMIT_BYTES
        text = text[:LINE_LIMIT_BYTES]
        if end_in_text == len(piece) and not self.start:
            text = text.removeprefix(UTF8_BOM)
        digest = content_hash(self.window_before(end))
        return LogLine(text, number, end, digest, truncated, terminated)


def iter_blocks_backwards(file: LogFile, offset: int) -> Iterator[Block]:
    """Yield the lines of a plain file before an offset, the last block first.

    Raises:
        FileMovedError: the file was truncated.
    """
    end = offset
    while end:
        low = max(0, end - BLOCK_BYTES)
        head = max(0, low - HASH_WINDOW_BYTES)
        data = file.read(head, end - head)
        if len(data) < end - head:
            raise FileMovedError
        cut = data.find(b"\n", low - head, len(data) - 1) + 1 if low else 0
        if low and not cut:
            block = read_long_line_before(file, end)
        else:
            block = Block(head + cut, end, data[cut:], data[max(0, cut - HASH_WINDOW_BYTES) : cut])
        yield block
        end = block.start


def read_long_line_before(file: LogFile, end: int) -> Block:
    """Read a line that is longer than a block and ends at an offset."""
    start = end - 1
    while start:
        if (hole := file.hole_start(start)) < start:
            start = hole
            continue
        low = max(0, start - BLOCK_BYTES)
        cut = file.read(low, start - low).rfind(b"\n") + 1
        start = low + cut
        if cut:
            break
    ending = b"\n" if file.read(end - 1, 1) == b"\n" else b""
    text = read_long_line_text(file, start, end - len(ending)) + ending
    return Block(start, end, text, file.window_before(start), file.window_before(end))


def read_long_line_text(file: LogFile, start: int, end: int) -> bytes:
    """Return the displayed text of the line between two offsets."""
    line = LineRenderer()
    while start < end and (piece := file.read(start, min(BLOCK_BYTES, end - start))):
        line.add(piece)
        start = file.hole_end(start + len(piece))
    return line.text


def read_partial_text(file: LogFile, start: int) -> bytes | None:
    """Return the displayed text from an offset to the end of a file; None if it has a newline.

    Of a line longer than a block, only the beginning and the last block are read.
    """
    line, size, is_first = LineRenderer(), file.size(), not start
    if size - start > BLOCK_BYTES:
        line.add(file.read(start, LINE_LIMIT_BYTES + 1))
        start = size - BLOCK_BYTES
    rest = file.read(start, size - start)
    if b"\n" in rest:
        return None
    line.add(rest)
    return line.text.removeprefix(UTF8_BOM) if is_first else line.text


class ForwardBlocks:
    """Iterator over the lines of a file from an offset on. Reads each byte once.

    `window` holds the bytes before the offset that a cursor hashes. The iterator ends at
    `end_offset`, or else at the end of the file.
    """

    def __init__(
        self, file: LogFile, offset: int, window: bytes, end_offset: int | None = None
    ) -> None:
        self._file = file
        self._start = self._read_offset = offset
        self._window = window
        self._end_offset = end_offset
        self._carry = b""

    def __iter__(self) -> Iterator[Block]:
        while data := self._read_next():
            data = self._carry + data
            cut = data.rfind(b"\n") + 1
            self._carry = data[cut:]
            if cut:
                yield self._make_block(data[:cut])
            elif len(data) >= BLOCK_BYTES:
                yield self._read_long_line()
        # The rest behind a long line may hold whole lines.
        cut = self._carry.rfind(b"\n") + 1
        for rest in (self._carry[:cut], self._carry[cut:]):
            if rest:
                yield self._make_block(rest)

    def _read_next(self) -> bytes:
        length = BLOCK_BYTES
        if self._end_offset is not None:
            length = min(length, self._end_offset - self._read_offset)
        data = self._file.read(self._read_offset, length) if length > 0 else b""
        self._read_offset += len(data)
        return data

    def _skip_hole(self) -> int:
        """Skip a hole of a sparse file, in which no line ends; return its length in bytes."""
        end = self._file.hole_end(self._read_offset)
        if self._end_offset is not None:
            end = min(end, self._end_offset)
        length, self._read_offset = end - self._read_offset, end
        return length

    def _make_block(self, text: bytes) -> Block:
        block = Block(self._start, self._start + len(text), text, self._window)
        self._start = block.end
        self._window = (self._window + text[-HASH_WINDOW_BYTES:])[-HASH_WINDOW_BYTES:]
        return block

    def _read_long_line(self) -> Block:
        """Read on to the end of a line that is longer than a block."""
        line_text = LineRenderer()
        line_text.add(self._carry)
        ending = b""
        window = (self._window + self._carry)[-HASH_WINDOW_BYTES:]
        self._carry = b""
        while data := self._read_next():
            line, newline, self._carry = data.partition(b"\n")
            line_text.add(line)
            window = (window + line + newline)[-HASH_WINDOW_BYTES:]
            if newline:
                ending = newline
                break
            if hole_bytes := self._skip_hole():
                window = (window + b"\0" * min(hole_bytes, HASH_WINDOW_BYTES))[-HASH_WINDOW_BYTES:]
        end = self._read_offset - len(self._carry)
        block = Block(self._start, end, line_text.text + ending, self._window, window)
        self._start, self._window = block.end, window
        return block
