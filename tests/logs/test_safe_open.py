"""Tests of safe opening: no link is followed, whatever replaces a name meanwhile."""

import errno
import os
from pathlib import Path

import pytest

from marianne_stream.errors import LogForbiddenError, LogNotFoundError
from marianne_stream.logs.safe_open import (
    LogPath,
    open_directory,
    open_regular_file,
    translate_os_errors,
)


def make_log_path(folder: Path, *subdirectories: str) -> LogPath:
    """Return the path of a log in a folder."""
    return LogPath(str(folder), "marianne.log", subdirectories)


def test_open_folder_replaced_by_link_still_reads_opened_folder(
    tmp_path: Path,
) -> None:
    (folder := tmp_path / "ws").mkdir()
    (folder / "marianne.log").write_text("own\n")
    (secret := tmp_path / "secret").mkdir()
    (secret / "marianne.log").write_text("secret\n")
    opened = open_directory(make_log_path(folder))
    folder.rename(tmp_path / "old")
    folder.symlink_to(secret)
    file = open_regular_file(opened, make_log_path(tmp_path))
    assert os.pread(file.fd, 100, 0) == b"own\n"
    with pytest.raises(LogForbiddenError):
        open_directory(make_log_path(folder))


def test_open_file_replaced_by_link_is_forbidden(
    tmp_path: Path,
) -> None:
    (tmp_path / "secret").write_text("secret\n")
    opened = open_directory(make_log_path(tmp_path))
    (tmp_path / "marianne.log").symlink_to(tmp_path / "secret")
    with pytest.raises(LogForbiddenError):
        open_regular_file(opened, make_log_path(tmp_path))


@pytest.mark.parametrize("subdirectories", [(), ("logs",)])
def test_open_directory_through_link_is_forbidden(
    tmp_path: Path, subdirectories: tuple[str, ...]
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "marianne.log").touch()
    link = tmp_path / "ws" / "logs" if subdirectories else tmp_path / "ws"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / "real")
    with pytest.raises(LogForbiddenError):
        open_directory(make_log_path(tmp_path / "ws", *subdirectories))


@pytest.mark.parametrize("folder", ["relative", "/a/../b", "/a\0b"])
def test_open_directory_of_unsafe_path_is_forbidden_before_open(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(LogForbiddenError):
        open_directory(LogPath(folder, "marianne.log"))


@pytest.mark.parametrize(
    ("error_number", "error"),
    [
        (errno.EACCES, LogForbiddenError),
        (errno.ELOOP, LogForbiddenError),
        (errno.ENXIO, LogForbiddenError),
        (errno.ENOENT, LogNotFoundError),
        (errno.EMFILE, OSError),
        (errno.EIO, OSError),
    ],
)
def test_os_error_is_translated_for_clients(error_number: int, error: type[Exception]) -> None:
    with pytest.raises(error), translate_os_errors(make_log_path(Path("/ws")), "marianne.log"):
        raise OSError(error_number, os.strerror(error_number))
