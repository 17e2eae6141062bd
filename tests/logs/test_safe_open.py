"""What is opened is what is read: through no link, whatever is put in its place meanwhile."""

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


def place(folder: Path, *below: str) -> LogPath:
    """The log of a folder."""
    return LogPath(str(folder), "marianne.log", below)


def test_a_folder_that_is_swapped_for_a_link_meanwhile_is_still_the_one_that_was_opened(
    tmp_path: Path,
) -> None:
    (folder := tmp_path / "ws").mkdir()
    (folder / "marianne.log").write_text("own\n")
    (secret := tmp_path / "secret").mkdir()
    (secret / "marianne.log").write_text("secret\n")
    opened = open_directory(place(folder))
    folder.rename(tmp_path / "old")
    folder.symlink_to(secret)
    file = open_regular_file(opened, "marianne.log")
    assert os.pread(file.fd, 100, 0) == b"own\n"
    with pytest.raises(LogForbiddenError):
        open_directory(place(folder))


def test_a_file_that_is_swapped_for_a_link_before_it_is_opened_is_not_followed(
    tmp_path: Path,
) -> None:
    (tmp_path / "secret").write_text("secret\n")
    opened = open_directory(place(tmp_path))
    (tmp_path / "marianne.log").symlink_to(tmp_path / "secret")
    with pytest.raises(LogForbiddenError):
        open_regular_file(opened, "marianne.log")


@pytest.mark.parametrize("below", [(), ("logs",)])
def test_a_link_on_the_way_is_no_folder(tmp_path: Path, below: tuple[str, ...]) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "marianne.log").touch()
    link = tmp_path / "ws" / "logs" if below else tmp_path / "ws"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / "real")
    with pytest.raises(LogForbiddenError):
        open_directory(place(tmp_path / "ws", *below))


@pytest.mark.parametrize("folder", ["relative", "/a/../b", "/a\0b"])
def test_a_path_that_leads_elsewhere_is_refused_before_it_is_opened(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(LogForbiddenError):
        open_directory(LogPath(folder, "marianne.log"))


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.EACCES, LogForbiddenError),
        (errno.ELOOP, LogForbiddenError),
        (errno.ENXIO, LogForbiddenError),
        (errno.ENOENT, LogNotFoundError),
        (errno.EMFILE, OSError),
        (errno.EIO, OSError),
    ],
)
def test_what_the_system_says_is_told_to_a_client(number: int, error: type[Exception]) -> None:
    with pytest.raises(error), translate_os_errors("marianne.log"):
        raise OSError(number, os.strerror(number))
