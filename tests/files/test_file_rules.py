"""Rules for files: names, places and other names of protected files."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from marianne_stream.errors import JobFileForbiddenError, JobFileNotFoundError
from marianne_stream.files.file_rules import FileRules, check_no_overlap
from marianne_stream.files.listing import ListQuery, list_files
from marianne_stream.files.workspaces import WorkspaceFile
from marianne_stream.logs.safe_open import open_log_file


def make_rules(*protected: Path, excluded: Iterable[str] = ("*.pem", ".git")) -> FileRules:
    """Return rules with protected paths."""
    return FileRules(excluded, lambda: protected)


def read(workspace: Path, path: str, rules: FileRules) -> bytes:
    """Return the content of a file in a workspace."""
    *folders, name = path.split("/")
    file = open_log_file(WorkspaceFile(str(workspace), name, tuple(folders), rules=rules))
    return os.pread(file.fd, 100, 0)


def refusal(workspace: Path, path: str, rules: FileRules) -> str:
    """Return why a file is refused; check that its list does not have it, too."""
    with pytest.raises(JobFileForbiddenError) as raised:
        read(workspace, path, rules)
    with suppress(JobFileForbiddenError):
        query = ListQuery(hidden=True)
        listed = list_files(WorkspaceFile(str(workspace), "", rules=rules), rules, query)
        assert path not in [file.path for file in listed.files]
    assert str(workspace) not in raised.value.detail
    return raised.value.detail


def write(path: Path, text: str = "secret") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "path",
    [
        *("server.pem", "SERVER.Pem", "a/b.pem/c", ".git", ".git/config", "sub/.GIT/config"),
        *(".ssh/id", "a/.SSH/id", ".netrc", ".aws/credentials", "x/.gnupg/y"),
    ],
)
def test_excluded_name_is_refused_at_any_depth(tmp_path: Path, path: str) -> None:
    write(tmp_path / "ws" / path)
    assert "files_exclude" in refusal(tmp_path / "ws", path, make_rules())


def test_name_that_is_like_an_excluded_one_is_read(tmp_path: Path) -> None:
    for name in ("server.pem.txt", "agit", ".gitignore", "netrc"):
        write(tmp_path / "ws" / name, name)
        assert read(tmp_path / "ws", name, make_rules()) == name.encode()


def test_workspace_of_the_root_or_of_a_home_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "home" / "a")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert "home folder" in refusal(tmp_path / "home", "a", make_rules())
    with pytest.raises(JobFileForbiddenError, match="home folder or /"):
        read(Path("/"), "etc/hostname", make_rules())
    above = refusal(tmp_path, "home/a", make_rules())
    assert "contains files of the server or of a user" in above


def test_workspace_inside_a_home_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "work" / "a", "mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read(tmp_path / "work", "a", make_rules()) == b"mine"


@pytest.mark.parametrize("protected", ["data", "data/token", "missing/registry.db"])
def test_workspace_that_contains_a_protected_path_is_refused(
    tmp_path: Path, protected: str
) -> None:
    write(tmp_path / "data" / "token")
    write(tmp_path / "a")
    for path in ("a", "data/token"):
        assert "contains files" in refusal(tmp_path, path, make_rules(tmp_path / protected))


def test_workspace_in_a_protected_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "data" / "ws" / "a")
    detail = refusal(tmp_path / "data" / "ws", "a", make_rules(tmp_path / "data"))
    assert "lies in a folder that is never served" in detail
    write(tmp_path / ".ssh" / "ws" / "a")
    assert "lies in" in refusal(tmp_path / ".ssh" / "ws", "a", make_rules())


def test_protected_path_behind_a_link_is_found(tmp_path: Path) -> None:
    write(tmp_path / "ws" / "real" / "token")
    (tmp_path / "data").symlink_to(tmp_path / "ws" / "real")
    assert "contains" in refusal(tmp_path / "ws", "real/token", make_rules(tmp_path / "data"))


def test_workspace_below_a_link_is_checked_by_its_real_path(tmp_path: Path) -> None:
    write(tmp_path / "data" / "ws" / "a")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert "lies in" in refusal(tmp_path / "link" / "ws", "a", make_rules(tmp_path / "data"))


@pytest.mark.parametrize("protected", ["data", "data/token"])
def test_hard_link_to_a_protected_file_is_refused(tmp_path: Path, protected: str) -> None:
    token = write(tmp_path / "data" / "token")
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "innocent").hardlink_to(token)
    with pytest.raises(JobFileForbiddenError, match="another name"):
        read(tmp_path / "ws", "innocent", make_rules(tmp_path / protected))
    write(tmp_path / "ws" / "own", "mine")
    (tmp_path / "ws" / "twice").hardlink_to(tmp_path / "ws" / "own")
    assert read(tmp_path / "ws", "twice", make_rules(tmp_path / protected)) == b"mine"


def test_removed_file_that_is_open_is_still_read(tmp_path: Path) -> None:
    rules = make_rules()
    path = write(tmp_path / "ws" / "a.txt", "mine")
    file = open_log_file(WorkspaceFile(str(tmp_path / "ws"), "a.txt", rules=rules))
    path.unlink()
    rules.check_file(file, depth=1)


def test_rules_refuse_links_and_what_is_no_regular_file(tmp_path: Path) -> None:
    write(tmp_path / "outside")
    (workspace := tmp_path / "ws").mkdir()
    (workspace / "link").symlink_to(tmp_path / "outside")
    (workspace / "folder").symlink_to(tmp_path)
    os.mkfifo(workspace / "fifo")
    for path in ("link", "folder/outside", "fifo"):
        with pytest.raises(JobFileForbiddenError):
            read(workspace, path, make_rules())
    with pytest.raises(JobFileNotFoundError):
        read(workspace, "missing", make_rules())
    (tmp_path / "linked").symlink_to(workspace)
    write(workspace / "a")
    with pytest.raises(JobFileForbiddenError):
        read(tmp_path / "linked", "a", make_rules())


@pytest.mark.parametrize("name", [".git", "certs.PEM", "x/.git/y"])
def test_workspace_of_an_excluded_name_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path / name / "a")
    assert "lies in a folder" in refusal(tmp_path / name, "a", make_rules())


@pytest.mark.parametrize("workspace", ["/proc/self", "/proc/self/.", "/proc", "/sys/kernel"])
def test_workspace_that_shows_processes_or_the_kernel_is_refused(workspace: str) -> None:
    path = WorkspaceFile(f"{workspace}/", "", rules=make_rules())
    with pytest.raises(JobFileForbiddenError):
        list_files(path, make_rules(), ListQuery())


def test_hard_link_to_a_file_deep_in_a_protected_folder_is_refused(tmp_path: Path) -> None:
    key = write(tmp_path / "data" / "a" / "b" / "key")
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "notes").hardlink_to(key)
    with pytest.raises(JobFileForbiddenError, match="another name"):
        read(tmp_path / "ws", "notes", make_rules(tmp_path / "data"))


def test_workspace_that_overlaps_that_of_another_job_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    mine = str(tmp_path / "a" / "b")
    for other in (mine, str(tmp_path / "a"), str(tmp_path / "link" / "b" / "c"), "/"):
        with pytest.raises(JobFileForbiddenError, match="shared with a job"):
            check_no_overlap(mine, [str(tmp_path / "x"), other])
    check_no_overlap(mine, [str(tmp_path / "a" / "bc"), str(tmp_path / "x")])
