"""A log is followed where inotify unavailable, and where its folder comes and goes."""

import errno
import os
import shutil
from pathlib import Path

import asyncinotify
import pytest

from marianne_stream.app import create_app
from marianne_stream.config.settings import Settings
from marianne_stream.logs import file_watcher
from tests.support.viewers import open_viewer
from tests.web.conftest import OpenStream
from tests.web.test_log_stream import LOGS, append, has


class TestByTheClock:
    """Without inotify."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        """Settings that poll."""
        return settings.model_copy(
            update={"job_log_watch": "poll", "job_log_poll_interval_s": 0.05}
        )

    async def test_a_log_is_followed_across_every_rotation(
        self, log_path: Path, open_stream: OpenStream
    ) -> None:
        append(log_path, "one")
        async with open_stream(LOGS) as viewer:
            await has(viewer, "one")
            append(log_path, "two")
            await has(viewer, "one", "two")
            log_path.rename(log_path.with_name("marianne.log.1"))
            append(log_path, "three")
            await has(viewer, "one", "two", "three")
            shutil.copy(log_path, log_path.with_name("marianne.log.0"))
            os.truncate(log_path, 0)
            append(log_path, "four")
            await has(viewer, "one", "two", "three", "four")
            reasons = [data["reason"] for data in viewer.event_data("log_rotated")]
            assert reasons == ["renamed", "truncated"]


async def test_a_workspace_that_is_removed_and_made_again_is_followed(
    log_path: Path, open_stream: OpenStream
) -> None:
    append(log_path, "one")
    async with open_stream(LOGS) as viewer:
        await has(viewer, "one")
        shutil.rmtree(log_path.parent)
        log_path.parent.mkdir()
        append(log_path, "two")
        await has(viewer, "one", "two")
        assert viewer.event_data("log_rotated")[0]["reason"] == "replaced"


async def test_a_folder_that_becomes_a_link_is_not_followed_into(
    log_path: Path, open_stream: OpenStream, tmp_path: Path
) -> None:
    append(log_path, "one")
    (elsewhere := tmp_path / "elsewhere").mkdir()
    append(elsewhere / "marianne.log", "secret")
    async with open_stream(LOGS) as viewer:
        await has(viewer, "one")
        log_path.parent.rename(tmp_path / "old")
        log_path.parent.symlink_to(elsewhere)
        append(tmp_path / "old" / "marianne.log", "two")
        await has(viewer, "one", "two")
        assert b"secret" not in viewer.raw


@pytest.mark.parametrize("limit", [errno.EMFILE, errno.ENOSYS])
async def test_without_an_inotify_instance_the_clock_has_to_do(
    *,
    log_path: Path,
    settings: Settings,
    aiohttp_client: object,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    limit: int,
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(limit, os.strerror(limit))

    monkeypatch.setattr(file_watcher, "Inotify", refuse)
    await is_followed_by_the_clock(log_path, settings, aiohttp_client)
    assert os.strerror(limit) in caplog.text


async def test_when_the_kernel_has_no_watch_left_the_clock_has_to_do(
    log_path: Path,
    settings: Settings,
    aiohttp_client: object,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(asyncinotify.Inotify, "add_watch", refuse)
    await is_followed_by_the_clock(log_path, settings, aiohttp_client)
    assert caplog.text.count("inotify unavailable") == 1


async def is_followed_by_the_clock(log: Path, settings: Settings, aiohttp_client: object) -> None:
    """A viewer of a server with these settings sees what is written, and a rotation."""
    quick = settings.model_copy(update={"job_log_poll_interval_s": 0.05})
    client = await aiohttp_client(create_app(quick))  # type: ignore[operator]
    append(log, "one")
    async with open_viewer(client.session, str(client.make_url(LOGS))) as viewer:
        await has(viewer, "one")
        append(log, "two")
        await has(viewer, "one", "two")
        log.rename(log.with_name("marianne.log.1"))
        append(log, "three")
        await has(viewer, "one", "two", "three")


async def test_after_the_kernels_queue_has_run_over_every_log_is_looked_at(
    log_path: Path, open_stream: OpenStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(log_path, "one")
    heard = file_watcher.FileWatcher._dispatch

    def run_over(self: file_watcher.FileWatcher, event: asyncinotify.Event) -> None:
        # What the kernel sends instead of what it could not keep (inotify(7)).
        heard(self, asyncinotify.Event(None, asyncinotify.Mask.Q_OVERFLOW, 0, None))

    monkeypatch.setattr(file_watcher.FileWatcher, "_dispatch", run_over)
    async with open_stream(LOGS) as viewer:
        await has(viewer, "one")
        append(log_path, "two")
        await has(viewer, "one", "two")


async def test_a_full_disk_ends_nothing_and_the_torn_line_is_whole_later(
    log_path: Path, open_stream: OpenStream
) -> None:
    append(log_path, "one")
    async with open_stream(LOGS) as viewer:
        await has(viewer, "one")
        # What a write on a disk without space leaves: a part of it (write(2)).
        with log_path.open("a", encoding="utf-8") as file:
            file.write("tw")
        await has(viewer, "one")
        append(log_path, "o", "three")
        await has(viewer, "one", "two", "three")
