"""Tests of the log reader: a file that is truncated while a feed begins to read it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from marianne_stream.logs.log_file import LogFile
from marianne_stream.logs.log_reader import LogReader, ReadResult
from marianne_stream.logs.positions import Position
from marianne_stream.logs.rotation import LogFileSet
from marianne_stream.logs.safe_open import LogPath
from marianne_stream.wire.cursors import LogCursor

OLD_TEXT = b"".join(b"line %d of the old text\n" % number for number in range(400))
NEW_TEXT = b"another beginning\nand its second line\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return the path of a log with some lines."""
    log = tmp_path / "marianne.log"
    log.write_bytes(OLD_TEXT)
    return log


@pytest.fixture
def files(log: Path) -> LogFileSet:
    """Return the files of that log."""
    return LogFileSet(LogPath(str(log.parent), log.name))


def make_end(files: LogFileSet) -> Position:
    """Return the position behind the old text, in a file that was opened for it."""
    file = files.open_current()
    return Position(file, len(OLD_TEXT), 400, file.window_before(len(OLD_TEXT)))


def read_all(reader: LogReader, limit: Position | None = None) -> Iterator[ReadResult]:
    """Yield results until there is nothing to read."""
    while (result := reader.read(limit)) is not None:
        yield result


def test_feed_that_finds_its_position_before_a_truncation_reads_on_after_the_follower_has_seen_it(
    log: Path, files: LogFileSet
) -> None:
    follower = LogReader(files, make_end(files))
    feed = LogReader(files, make_end(files))
    log.write_bytes(NEW_TEXT)
    list(read_all(follower))
    results = list(read_all(feed, follower.position))
    assert [one.rotation.reason for one in results if one.rotation] == ["truncated"]
    assert [line.text for one in results for line in one.lines] == NEW_TEXT.splitlines()
    assert feed.position.is_same_position(follower.position)


def test_position_is_found_by_the_bytes_that_its_cursor_was_compared_with(
    log: Path, files: LogFileSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = make_end(files).make_cursor()
    find_window = LogFile.find_window

    def find_and_truncate(self: LogFile, given: LogCursor) -> bytes | None:
        found = find_window(self, given)
        log.write_bytes(NEW_TEXT)
        return found

    monkeypatch.setattr(LogFile, "find_window", find_and_truncate)
    position = files.find(cursor)
    assert position is not None
    assert not position.is_in_file()
    (result, *_) = read_all(LogReader(files, position))
    assert result.rotation is not None


def test_position_with_fewer_bytes_than_its_offset_tells_is_not_in_the_file(
    log: Path, files: LogFileSet
) -> None:
    file = files.open_current()
    log.write_bytes(NEW_TEXT)
    position = Position(file, len(OLD_TEXT), 400, file.window_before(len(OLD_TEXT)))
    log.write_bytes(OLD_TEXT + NEW_TEXT)
    (result, *_) = read_all(LogReader(files, position))
    assert result.rotation is not None
