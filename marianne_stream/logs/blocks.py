"""The lines of a file a block at a time, from an offset on or back from it. Blocks, and is bounded:
of a line that is longer than a block, only what is shown of it is kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from marianne_stream.logs.files import BLOCK_BYTES, LogFile
from marianne_stream.logs.generations import MovedError
from marianne_stream.wire.cursors import WINDOW_BYTES, fingerprint
from marianne_stream.wire.log_lines import LINE_LIMIT_BYTES, LineText, LogLine, end_state
from marianne_stream.wire.log_text import BOM


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of a file, each with its end, except perhaps the last one of the file.

    Attributes:
        start: the offset of the first one.
        end: the offset behind the last one.
        text: the lines; of one that is longer than a block, its end state and its newline.
        before: the bytes before `start` that a cursor goes by.
        behind: the bytes before `end`, where `text` is not whole.
    """

    start: int
    end: int
    text: bytes = field(repr=False)
    before: bytes = field(repr=False)
    behind: bytes | None = field(default=None, repr=False)

    @property
    def lines(self) -> int:
        """How many there are."""
        return self.text.count(b"\n") + (not self.text.endswith(b"\n"))

    def window(self, end: int) -> bytes:
        """The bytes before the end of one of the lines that a cursor goes by."""
        if self.behind is not None:
            return self.behind
        behind = end - self.start
        text = self.text[max(0, behind - WINDOW_BYTES) : behind]
        missing = WINDOW_BYTES - len(text)
        return self.before[-missing:] + text if missing else text

    def cut(self, wanted: Sequence[tuple[int, int]]) -> list[LogLine]:
        """Some of the lines.

        Args:
            wanted: the place of each in the block, from 0, and its number.
        """
        if not wanted:
            return []
        pieces = self.text.split(b"\n")
        ends = list(accumulate(map(len, pieces)))
        return [self._line(pieces[place], ends[place] + place, number) for place, number in wanted]

    def _line(self, piece: bytes, behind: int, number: int) -> LogLine:
        terminated = behind < len(self.text)
        end = self.start + behind + terminated if self.behind is None else self.end
        text = end_state(piece)
        truncated = len(text) > LINE_LIMIT_BYTES
        text = text[:LINE_LIMIT_BYTES]
        if behind == len(piece) and not self.start:
            text = text.removeprefix(BOM)
        digest = fingerprint(self.window(end))
        return LogLine(text, number, end, digest, truncated, terminated)


def blocks_before(file: LogFile, offset: int) -> Iterator[Block]:
    """The lines of a plain file before an offset, the last block first.

    Raises:
        MovedError: the file was cut.
    """
    end = offset
    while end:
        low = max(0, end - BLOCK_BYTES)
        head = max(0, low - WINDOW_BYTES)
        data = file.read(head, end - head)
        if len(data) < end - head:
            raise MovedError
        cut = data.find(b"\n", low - head, len(data) - 1) + 1 if low else 0
        if low and not cut:
            block = long_line_before(file, end)
        else:
            block = Block(head + cut, end, data[cut:], data[max(0, cut - WINDOW_BYTES) : cut])
        yield block
        end = block.start


def long_line_before(file: LogFile, end: int) -> Block:
    """The line that ends at an offset, and is longer than a block."""
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
    text = long_line_text(file, start, end - len(ending)) + ending
    return Block(start, end, text, file.window(start), file.window(end))


def long_line_text(file: LogFile, start: int, end: int) -> bytes:
    """The end state of the line between two offsets."""
    line = LineText()
    while start < end and (piece := file.read(start, min(BLOCK_BYTES, end - start))):
        line.add(piece)
        start = file.hole_end(start + len(piece))
    return line.text


def unfinished_text(file: LogFile, start: int) -> bytes | None:
    """The end state of the line from an offset to the end of a file; None if it has a newline.

    Of a line that is longer than a block, its beginning and its last block are looked at.
    """
    line, size, is_first = LineText(), file.size(), not start
    if size - start > BLOCK_BYTES:
        line.add(file.read(start, LINE_LIMIT_BYTES + 1))
        start = size - BLOCK_BYTES
    rest = file.read(start, size - start)
    if b"\n" in rest:
        return None
    line.add(rest)
    return line.text.removeprefix(BOM) if is_first else line.text


class BlocksFrom:
    """The lines of a file from an offset on, to its end or another offset. Reads each byte once.

    Args:
        file: the file, plain or compressed.
        offset: where to begin: behind a line.
        before: the bytes before it that a cursor goes by.
        upto: where to end; the file's end where it is None.
    """

    def __init__(self, file: LogFile, offset: int, before: bytes, upto: int | None = None) -> None:
        self._file = file
        self._start = self._read_upto = offset
        self._before = before
        self._upto = upto
        self._carry = b""

    def __iter__(self) -> Iterator[Block]:
        while data := self._next():
            data = self._carry + data
            cut = data.rfind(b"\n") + 1
            self._carry = data[cut:]
            if cut:
                yield self._block(data[:cut])
            elif len(data) >= BLOCK_BYTES:
                yield self._long_line()
        # Behind a long line, whole lines may be left as well.
        cut = self._carry.rfind(b"\n") + 1
        for rest in (self._carry[:cut], self._carry[cut:]):
            if rest:
                yield self._block(rest)

    def _next(self) -> bytes:
        length = BLOCK_BYTES
        if self._upto is not None:
            length = min(length, self._upto - self._read_upto)
        data = self._file.read(self._read_upto, length) if length > 0 else b""
        self._read_upto += len(data)
        return data

    def _skip_hole(self) -> int:
        """Skips a hole, in which no line ends; returns how long it is."""
        end = self._file.hole_end(self._read_upto)
        if self._upto is not None:
            end = min(end, self._upto)
        length, self._read_upto = end - self._read_upto, end
        return length

    def _block(self, text: bytes) -> Block:
        block = Block(self._start, self._start + len(text), text, self._before)
        self._start = block.end
        self._before = (self._before + text[-WINDOW_BYTES:])[-WINDOW_BYTES:]
        return block

    def _long_line(self) -> Block:
        """The line that has begun, whose end is looked for."""
        line_text = LineText()
        line_text.add(self._carry)
        ending = b""
        window = (self._before + self._carry)[-WINDOW_BYTES:]
        self._carry = b""
        while data := self._next():
            line, newline, self._carry = data.partition(b"\n")
            line_text.add(line)
            window = (window + line + newline)[-WINDOW_BYTES:]
            if newline:
                ending = newline
                break
            if hole_bytes := self._skip_hole():
                window = (window + b"\0" * min(hole_bytes, WINDOW_BYTES))[-WINDOW_BYTES:]
        end = self._read_upto - len(self._carry)
        block = Block(self._start, end, line_text.text + ending, self._before, window)
        self._start, self._before = block.end, window
        return block
