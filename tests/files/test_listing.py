"""Lists of workspaces that are large, deep or have long names."""

from pathlib import Path

import pytest

from marianne_stream.files import listing
from marianne_stream.files.file_rules import FileRules
from marianne_stream.files.listing import FileList, ListQuery, Sort, list_files
from marianne_stream.files.workspaces import WorkspaceFile


def list_workspace(workspace: Path, query: ListQuery) -> FileList:
    """Return the list of a workspace."""
    rules = FileRules([], list)
    return list_files(WorkspaceFile(str(workspace), "", rules=rules), rules, query)


def test_list_by_name_that_is_stopped_has_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "TIME_LIMIT_S", 0.0)
    monkeypatch.setattr(listing, "NAMES_PER_CHECK", 50)
    for number in range(200):
        (tmp_path / f"{number:03}").touch()
    for sort in ("name", "change"):
        found = list_workspace(tmp_path, ListQuery(sort=sort))
        assert len(found.files) == 49
        assert found.is_truncated


@pytest.mark.parametrize("sort", ["name", "change"])
def test_paths_of_a_list_are_limited_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sort: Sort
) -> None:
    monkeypatch.setattr(listing, "MAX_PATH_CHARS", 100)
    monkeypatch.setattr(listing, "MAX_MEAN_CHARS", 50)
    for number in range(20):
        (tmp_path / f"{number:0100}").touch()
    found = list_workspace(tmp_path, ListQuery(sort=sort, limit=20))
    assert (len(found.files), found.is_truncated) == (10, True)
    found = list_workspace(tmp_path, ListQuery(sort=sort, limit=1))
    assert (len(found.files), found.is_truncated) == (1, True)


def test_path_that_is_too_long_to_be_requested_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MAX_PATH_CHARS", 10)
    for name in ("a" * 10, "b" * 11, "folder/abc", "folder/abcd"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = list_workspace(tmp_path, ListQuery(sort="name"))
    assert [file.path for file in found.files] == ["a" * 10, "folder/abc"]


def test_glob_finds_the_last_of_many_names(tmp_path: Path) -> None:
    for number in range(500):
        (tmp_path / f"{number:03}.txt").touch()
    (tmp_path / "zz.md").touch()
    found = list_workspace(tmp_path, ListQuery(sort="name", limit=1, glob="*.md"))
    assert ([file.path for file in found.files], found.is_truncated) == (["zz.md"], False)
