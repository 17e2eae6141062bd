"""Following of logs without inotify, and while their directory comes and goes."""

import errno
import os
import shutil
from pathlib import Path

import asyncinotify
import pytest

from marianne_stream.app import create_app
from marianne_stream.config.settings import Settings
from marianne_stream.logs import file_watcher
from tests.support.log_files import append_lines
from tests.support.log_lines import LOGS, expect_lines
from tests.support.viewers import open_viewer
from tests.web.conftest import OpenStream


class TestPolling:
    """Following without inotify."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        """Return settings with polling."""
        return settings.model_copy(
            update={"job_log_watch": "poll", "job_log_poll_interval_s": 0.05}
        )

    async def test_log_is_followed_across_every_rotation(
        self, log_path: Path, open_stream: OpenStream
    ) -> None:
        append_lines(log_path, "one")
        async with open_stream(LOGS) as viewer:
            await expect_lines(viewer, "one")
            append_lines(log_path, "two")
            await expect_lines(viewer, "one", "two")
            log_path.rename(log_path.with_name("marianne.log.1"))
            append_lines(log_path, "three")
            await expect_lines(viewer, "one", "two", "three")
            shutil.copy(log_path, log_path.with_name("marianne.log.0"))
            os.truncate(log_path, 0)
            append_lines(log_path, "four")
            await expect_lines(viewer, "one", "two", "three", "four")
            reasons = [data["reason"] for data in viewer.event_data("log_rotated")]
            assert reasons == ["renamed", "truncated"]


async def test_recreated_workspace_is_followed(log_path: Path, open_stream: OpenStream) -> None:
    append_lines(log_path, "one")
    async with open_stream(LOGS) as viewer:
        await expect_lines(viewer, "one")
        shutil.rmtree(log_path.parent)
        log_path.parent.mkdir()
        append_lines(log_path, "two")
        await expect_lines(viewer, "one", "two")
        assert viewer.event_data("log_rotated")[0]["reason"] == "replaced"


async def test_workspace_replaced_by_link_is_not_followed(
    log_path: Path, open_stream: OpenStream, tmp_path: Path
) -> None:
    append_lines(log_path, "one")
    (elsewhere := tmp_path / "elsewhere").mkdir()
    append_lines(elsewhere / "marianne.log", "secret")
    async with open_stream(LOGS) as viewer:
        await expect_lines(viewer, "one")
        log_path.parent.rename(tmp_path / "old")
        log_path.parent.symlink_to(elsewhere)
        append_lines(tmp_path / "old" / "marianne.log", "two")
        await expect_lines(viewer, "one", "two")
        assert b"secret" not in viewer.raw


@pytest.mark.parametrize("limit", [errno.EMFILE, errno.ENOSYS])
async def test_no_inotify_instance_falls_back_to_polling(
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
    await expect_polling(log_path, settings, aiohttp_client)
    assert os.strerror(limit) in caplog.text


async def test_no_inotify_watch_left_falls_back_to_polling(
    log_path: Path,
    settings: Settings,
    aiohttp_client: object,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(asyncinotify.Inotify, "add_watch", refuse)
    await expect_polling(log_path, settings, aiohttp_client)
    assert caplog.text.count("inotify unavailable") == 1


async def expect_polling(log: Path, settings: Settings, aiohttp_client: object) -> None:
    """Check that a viewer gets new lines and a rotation with these settings."""
    quick = settings.model_copy(update={"job_log_poll_interval_s": 0.05})
    client = await aiohttp_client(create_app(quick))  # type: ignore[operator]
    append_lines(log, "one")
    async with open_viewer(client.session, str(client.make_url(LOGS))) as viewer:
        await expect_lines(viewer, "one")
        append_lines(log, "two")
        await expect_lines(viewer, "one", "two")
        log.rename(log.with_name("marianne.log.1"))
        append_lines(log, "three")
        await expect_lines(viewer, "one", "two", "three")


async def test_inotify_queue_overflow_rereads_every_log(
    log_path: Path, open_stream: OpenStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_lines(log_path, "one")
    heard = file_watcher.FileWatcher._dispatch

    def run_over(self: file_watcher.FileWatcher, event: asyncinotify.Event) -> None:
        # What the kernel sends instead of what it could not keep (inotify(7)).
        heard(self, asyncinotify.Event(None, asyncinotify.Mask.Q_OVERFLOW, 0, None))

    monkeypatch.setattr(file_watcher.FileWatcher, "_dispatch", run_over)
    async with open_stream(LOGS) as viewer:
        await expect_lines(viewer, "one")
        append_lines(log_path, "two")
        await expect_lines(viewer, "one", "two")


async def test_full_disk_keeps_stream_and_torn_line_is_completed(
    log_path: Path, open_stream: OpenStream
) -> None:
    append_lines(log_path, "one")
    async with open_stream(LOGS) as viewer:
        await expect_lines(viewer, "one")
        # What a write on a disk without space leaves: a part of it (write(2)).
        with log_path.open("a", encoding="utf-8") as file:
            file.write("tw")
        await expect_lines(viewer, "one")
        append_lines(log_path, "o", "three")
        await expect_lines(viewer, "one", "two", "three")
