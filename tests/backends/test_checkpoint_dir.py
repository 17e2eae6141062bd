"""A folder of checkpoints, read file by file."""

import asyncio
import json
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from marianne_stream.backends import checkpoint_dir as json_dir_module
from marianne_stream.backends import reader_thread
from marianne_stream.backends.checkpoint_dir import (
    MAX_FILE_BYTES,
    CheckpointDirBackend,
    checkpoint_file_name,
)
from marianne_stream.errors import CorruptStateError, JobNotFoundError, StateUnreadableError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of the checkpoints."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    return folder


@pytest.fixture
async def source(folder: Path) -> AsyncIterator[CheckpointDirBackend]:
    """Yield a backend of the folder."""
    source = CheckpointDirBackend(folder)
    yield source
    await source.close()


def checkpoint(job_id: str, **fields: Any) -> str:
    """Return a checkpoint of two sheets, one of them completed."""
    sheets = {"1": {"status": "completed"}, "2": {"status": "pending"}}
    shown = {"job_id": job_id, "status": "running", "total_sheets": 2, "sheets": sheets}
    return json.dumps({**shown, **fields})


def save(folder: Path, job_id: str, **fields: Any) -> Path:
    """Write a checkpoint as Marianne does: a temporary file, renamed."""
    path = folder / checkpoint_file_name(job_id)
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(checkpoint(job_id, **fields))
    return temporary.replace(path)


def age(path: Path) -> None:
    """Set the modification time of a file a minute back."""
    now_ns = path.stat().st_mtime_ns
    os.utime(path, ns=(now_ns, now_ns - 60_000_000_000))


def loaded_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the names of the files that are read."""
    names, read = [], json_dir_module.read_file

    def read_and_note(folder_fd: int, name: str) -> bytes:
        names.append(name)
        return read(folder_fd, name)

    monkeypatch.setattr(json_dir_module, "read_file", read_and_note)
    return names


async def test_roster_newest_first_with_source(source: CheckpointDirBackend, folder: Path) -> None:
    save(folder, "old", created_at="2026-11-23T19:24:13Z", workspace="/ws")
    save(folder, "new", created_at="2026-11-23T20:24:13Z", started_at="1970-01-01T00:00:01Z")
    save(folder, "never")
    roster = await source.read_roster()
    assert list(roster.entries) == ["new", "old", "never"]
    assert (roster.source, roster.live) == ("json", False)
    entry = roster.entries["old"]
    assert (entry.completed_sheets, entry.total_sheets, entry.workspace) == (1, 2, "/ws")
    assert roster.entries["new"].started_at == 1.0


async def test_end_of_restarted_job_omitted(source: CheckpointDirBackend, folder: Path) -> None:
    ended = {"completed_at": "1970-01-01T00:00:02Z"}
    save(folder, "over", status="completed", **ended)
    save(folder, "again", status="running", **ended)
    entries = (await source.read_roster()).entries
    assert (entries["over"].completed_at, entries["again"].completed_at) == (2.0, None)


async def test_job_state_from_file_is_consistent(
    source: CheckpointDirBackend, folder: Path
) -> None:
    save(folder, "a", status="failed", error_message="no more money")
    state = await source.read_job("a", None)
    assert (state.status, state.error_message) == ("failed", "no more money")
    assert (state.source, state.live, state.is_final) == ("json", False, True)


async def test_older_entry_ignored(source: CheckpointDirBackend, folder: Path) -> None:
    save(folder, "a", status="running")
    entry = (await source.read_roster()).entries["a"]
    save(folder, "a", status="completed")
    state = await source.read_job("a", entry)
    assert state.status == "completed"
    assert state.is_final


@pytest.mark.parametrize(
    ("job_id", "name"),
    [
        ("a score.v2", "a_score_v2.json"),
        ("../../etc/passwd", "______etc_passwd.json"),
        ("..", "__.json"),
        (
            "\N{LATIN SMALL LETTER E WITH ACUTE}t\0-_9",
            "\N{LATIN SMALL LETTER E WITH ACUTE}t_-_9.json",
        ),
    ],
)
async def test_any_job_id_gives_name_inside_folder(
    source: CheckpointDirBackend, folder: Path, job_id: str, name: str
) -> None:
    assert save(folder, job_id) == folder / name
    assert (await source.read_job(job_id, None)).job_id == job_id
    assert list((await source.read_roster()).entries) == [job_id]


async def test_ids_with_same_file_name_only_stored_one_found(
    source: CheckpointDirBackend, folder: Path
) -> None:
    save(folder, "a b")
    assert (await source.read_job("a b", None)).job_id == "a b"
    with pytest.raises(JobNotFoundError, match="a_b"):
        await source.read_job("a_b", None)


@pytest.mark.parametrize("job_id", ["", "a", "a" * 255, "lone \udcff surrogate", "/etc/passwd"])
async def test_job_without_file_not_found(
    source: CheckpointDirBackend, folder: Path, job_id: str
) -> None:
    (folder / ".json").write_text(checkpoint(""))
    with pytest.raises(JobNotFoundError):
        await source.read_job(job_id, None)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "half written": lambda path: path.write_text(checkpoint("bad")[:40]),
    "empty": Path.touch,
    "not text": lambda path: path.write_bytes(b"\xff\xfe\0"),
    "another shape": lambda path: path.write_text('["bad"]'),
    "nested too deep": lambda path: path.write_text("[" * 99_999),
    "a sheet without a number": lambda path: path.write_text(checkpoint("bad", sheets={"x": {}})),
    "oversized": lambda path: path.write_text(checkpoint("bad") + " " * MAX_FILE_BYTES),
    "a link": lambda path: path.symlink_to("good.json"),
    "a link that leads nowhere": lambda path: path.symlink_to("nowhere.json"),
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_damaged_file_skipped_and_logged_once(
    source: CheckpointDirBackend, folder: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, json_dir_module.__name__)
    save(folder, "good")
    DAMAGES[damage](folder / "bad.json")
    for _ in range(3):
        assert list((await source.read_roster()).entries) == ["good"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "'bad.json'" in caplog.text
    with pytest.raises(CorruptStateError) as caught:
        await source.read_job("bad", None)
    assert "/" not in caught.value.detail
    assert len(caplog.records) == 1


async def test_file_damaged_again_logged_again(
    source: CheckpointDirBackend, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for text in ("{", "[[", '"'):
        (folder / "bad.json").write_text(text)
        await source.read_roster()
    assert len(caplog.records) == 3


async def test_unreadable_file_read_again_without_change(
    source: CheckpointDirBackend,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # A failing read stands for a missing permission, which does not keep root from reading.
    def refuse(folder_fd: int, name: str) -> bytes:
        raise PermissionError(13, "Permission denied")

    age(save(folder, "a"))
    with monkeypatch.context() as patched:
        patched.setattr(json_dir_module, "read_file", refuse)
        for _ in range(2):
            assert not (await source.read_roster()).entries
        with pytest.raises(CorruptStateError, match="Permission denied"):
            await source.read_job("a", None)
    assert list((await source.read_roster()).entries) == ["a"]
    assert len(caplog.records) == 1


async def test_file_of_other_job_skipped(
    source: CheckpointDirBackend, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(folder, "a").rename(folder / "copy of a.json")
    assert not (await source.read_roster()).entries
    assert "contains the checkpoint of job 'a'" in caplog.text


async def test_other_files_skipped_without_log(
    source: CheckpointDirBackend, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.json.tmp", ".a.json", ".json", "a.JSON", "marianne.log"):
        (folder / name).write_text("{")
    assert not (await source.read_roster()).entries
    assert not caplog.records


async def test_unchanged_file_not_read_again(
    source: CheckpointDirBackend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for job_id in ("a", "b"):
        age(save(folder, job_id))
    names = loaded_names(monkeypatch)
    await source.read_roster()
    assert sorted(names) == ["a.json", "b.json"]
    names.clear()
    save(folder, "b", status="completed")
    entries = (await source.read_roster()).entries
    assert names == ["b.json"]
    assert (entries["a"].status, entries["b"].status) == ("running", "completed")


async def test_change_within_mtime_tick_noticed(
    source: CheckpointDirBackend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A long tick, so that a slow machine is still within it.
    monkeypatch.setattr(json_dir_module, "MTIME_GRANULARITY_NS", 60_000_000_000)
    path = save(folder, "a", status="running")
    written = path.stat()
    await source.read_roster()
    # In place, so that inode, size and time are what they were.
    path.write_text(checkpoint("a", status="failing"))
    os.utime(path, ns=(written.st_mtime_ns, written.st_mtime_ns))
    assert (await source.read_roster()).entries["a"].status == "failing"


async def test_removed_file_leaves_roster(source: CheckpointDirBackend, folder: Path) -> None:
    path = save(folder, "a")
    assert (await source.read_roster()).entries
    path.unlink()
    assert not (await source.read_roster()).entries


async def test_unreadable_folder_raises(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("missing", "file"):
        source = CheckpointDirBackend(tmp_path / name)
        for call in (source.read_roster(), source.read_job("a", None)):
            with pytest.raises(StateUnreadableError, match=name) as caught:
                await call
            assert not isinstance(caught.value, CorruptStateError)
            assert "/" not in caught.value.detail
        await source.close()


async def test_hanging_read_times_out_without_blocking(
    source: CheckpointDirBackend, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file system that hangs is stood for by a read that waits until it is let go.
    released = threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(reader_thread, "READ_TIMEOUT_S", 0.05)
        patched.setattr(json_dir_module, "read_file", lambda *_: released.wait(5) and b"{")
        save(folder, "a")
        for call in (source.read_job("a", None), source.read_roster()):
            with pytest.raises(
                StateUnreadableError, match=r"checkpoints /.*: no answer within 0\.05 s"
            ):
                await call
        released.set()
    assert (await source.read_job("a", None)).job_id == "a"


async def test_cancelled_read_leaks_nothing_and_folder_readable(
    source: CheckpointDirBackend, folder: Path
) -> None:
    save(folder, "a")
    await source.read_roster()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for turns in range(20):
        call = asyncio.create_task(source.read_roster())
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait((call,))
    # One thread: when it has answered, those before are done.
    assert (await source.read_job("a", None)).job_id == "a"
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    await source.close()
    assert list((await source.read_roster()).entries) == ["a"]


async def test_checkpoint_as_json_of_the_job_alone(
    source: CheckpointDirBackend, folder: Path
) -> None:
    path = save(folder, "a b")
    assert await source.read_checkpoint("a b") == path.read_bytes()
    for job_id in ("a_b", "none", "x" * 300, ""):
        with pytest.raises(JobNotFoundError):
            await source.read_checkpoint(job_id)
    path.write_text("{broken")
    with pytest.raises(CorruptStateError):
        await source.read_checkpoint("a b")
    path.unlink()
    path.mkdir()
    with pytest.raises(CorruptStateError):
        await source.read_checkpoint("a b")
