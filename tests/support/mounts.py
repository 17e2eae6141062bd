"""Small file systems, for what happens on a full or a read-only one."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.external import skip_or_fail


@contextmanager
def mount_tmpfs(path: Path, *, size_kib: int) -> Iterator[None]:
    """Mount an empty file system at a new directory; skip the test if that is not permitted."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        skip_or_fail("mount, with the permission to use it,")
    path.mkdir()
    command: list[str | Path] = ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", path]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        skip_or_fail("mount, with the permission to use it,")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)  # noqa: S607


def remount_read_only(path: Path) -> None:
    """Make a file system that `mount_tmpfs` has mounted read-only."""
    subprocess.run(["mount", "-o", "remount,ro", path], check=True)  # noqa: S607
