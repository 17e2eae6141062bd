"""Write to logs as jobs do."""

from pathlib import Path


def append_bytes(path: Path, data: bytes) -> None:
    """Append raw bytes to a log."""
    with path.open("ab") as file:
        file.write(data)


def append_lines(path: Path, *lines: str) -> None:
    """Append lines to a log, which need not exist."""
    append_bytes(path, "".join(f"{line}\n" for line in lines).encode())
