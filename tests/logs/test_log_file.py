"""Compressed files of a log, which several readers share."""

import gzip
import random
from pathlib import Path

import pytest

from marianne_stream.errors import ReadLimitError
from marianne_stream.logs.log_file import make_log_file
from marianne_stream.logs.read_budget import CallCancelledError, ReadBudget, use_budget
from marianne_stream.logs.safe_open import LogPath, open_log_file


@pytest.mark.parametrize("stop", ["cancelled", "over its limit"])
def test_reader_of_a_compressed_file_loses_nothing_if_another_is_stopped(
    tmp_path: Path, stop: str
) -> None:
    text = random.Random(1).randbytes(200_000).hex().encode()
    (tmp_path / "a.log.1.gz").write_bytes(gzip.compress(text))
    path = LogPath(str(tmp_path), "a.log.1.gz")
    file = make_log_file(open_log_file(path), path.name)
    assert file.read(0, 1000) == text[:1000]
    budget = ReadBudget(max_bytes=1000)
    if stop == "cancelled":
        budget.cancel()
    with use_budget(budget), pytest.raises((CallCancelledError, ReadLimitError)):
        file.read(1000, 300_000)
    assert file.read(1000, 300_000) == text[1000:301_000]
