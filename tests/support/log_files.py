"""Write to logs as jobs do."""

import gzip
from pathlib import Path


def append_bytes(path: Path, data: bytes) -> None:
    """Append raw bytes to a log."""
    with path.open("ab") as file:
        file.write(data)


def append_lines(path: Path, *lines: str) -> None:
    """Append lines to a log, which need not exist."""
    append_bytes(path, "".join(f"{line}\n" for line in lines).encode())


def compress_log(path: Path, number: int = 1) -> None:
    """Rotate a log into a compressed file; no newer file takes its place yet."""
    path.with_name(f"{path.name}.{number}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def write_rotated_log(log: Path) -> list[str]:
    """Write a log of 30 lines in three files, one compressed, and return its lines."""
    lines = [f"2026-11-24 [{'error' if n % 10 == 0 else 'info'}] line {n}" for n in range(1, 31)]
    append_lines(log, *lines[:10])
    compress_log(log, 2)
    append_lines(log, *lines[10:20])
    log.rename(log.with_name(f"{log.name}.1"))
    append_lines(log, *lines[20:])
    return lines
