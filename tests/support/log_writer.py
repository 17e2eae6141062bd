"""Write a log in a process of its own and rotate it in every usual way.

`python log_writer.py FILE LINES SEED` appends LINES numbered lines, some in parts, some in bursts;
the first line of all files is the same. All old files are kept, and nothing is written between a
copy and its truncation, so only the reader could lose a line. At the end it prints the number of
rotations of each kind as JSON.
"""

import gzip
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

FIRST_LINE = "the same first line in every file\n"
BURST_LINES = (1, 1, 3, 20, 200, 2000)


class LogWriter:
    """Appends to one log and rotates it.

    Args:
        path: path of the log.
        rng: source of all random choices.
    """

    def __init__(self, path: Path, rng: random.Random) -> None:
        self._path = path
        self._rng = rng
        self.rotations: Counter[str] = Counter()
        self._open()

    def append(self, first: int, last: int) -> None:
        """Append numbered lines, some of them in parts."""
        text = "".join(
            f"{number} é✓ {'x' * self._rng.randint(0, 120)}\n" for number in range(first, last + 1)
        )
        data = text.encode()
        while data:
            cut = self._rng.randint(1, len(data)) if self._rng.random() < 0.3 else len(data)
            os.write(self._fd, data[:cut])
            data = data[cut:]
            if data:
                time.sleep(self._rng.random() * 0.003)

    def rotate(self) -> None:
        """Rotate the log in a random way."""
        kind = self._rng.choice(("gzip", "gzip", "rename", "copytruncate", "copytruncate"))
        self.rotations[kind] += 1
        if kind == "gzip":
            self._shift_rotated_files(".gz")
            with (
                self._path.open("rb") as old,
                gzip.open(self._rotated_path(1, ".gz"), "wb", 1) as new,
            ):
                shutil.copyfileobj(old, new)
            self._path.unlink()
        else:
            self._shift_rotated_files("")
            if kind == "rename":
                self._path.rename(self._rotated_path(1, ""))
            else:
                shutil.copyfile(self._path, self._rotated_path(1, ""))
                os.truncate(self._path, 0)
        os.close(self._fd)
        # Files are ordered by modification time, whose clock ticks every 4 ms.
        time.sleep(0.01)
        self._open()

    def _rotated_path(self, number: int, ending: str) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}{ending}")

    def _shift_rotated_files(self, ending: str) -> None:
        """Rename the rotated files of one kind to the next higher numbers."""
        count = 0
        while self._rotated_path(count + 1, ending).exists():
            count += 1
        for number in range(count, 0, -1):
            self._rotated_path(number, ending).rename(self._rotated_path(number + 1, ending))

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._fd = os.open(self._path, flags, 0o600)
        os.write(self._fd, FIRST_LINE.encode())


def main(path: Path, line_count: int, seed: int) -> None:
    """Write the whole log."""
    chance = random.Random(seed)
    writer = LogWriter(path, chance)
    number, rotation = 1, chance.randint(1000, 6000)
    while number <= line_count:
        if number >= rotation:
            writer.rotate()
            rotation = number + chance.randint(1000, 6000)
        burst = 10_000 if chance.random() < 0.002 else chance.choice(BURST_LINES)
        last = min(line_count, number + burst - 1)
        writer.append(number, last)
        number = last + 1
        time.sleep(chance.random() * 0.0002 * min(burst, 200))
    sys.stdout.write(json.dumps(writer.rotations) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
