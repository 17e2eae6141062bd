"""A log is followed where inotify does not work, and where its folder comes and goes."""

import errno
import os
import shutil
from pathlib import Path

import asyncinotify
import pytest

from marianne_stream.app import create_app
from marianne_stream.logs import alarms
from marianne_stream.settings import Settings
from tests.support.viewers import watching
from tests.web.conftest import Watch
from tests.web.test_log_stream import LOGS, append, has


class TestByTheClock:
    """Without inotify."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        """Settings that poll."""
        return settings.model_copy(
            update={"job_log_watch": "poll", "job_log_poll_interval_s": 0.05}
        )

    async def test_a_log_is_followed_across_every_rotation(self, log: Path, watch: Watch) -> None:
        append(log, "one")
        async with watch(LOGS) as viewer:
            await has(viewer, "one")
            append(log, "two")
            await has(viewer, "one", "two")
            log.rename(log.with_name("marianne.log.1"))
            append(log, "three")
            await has(viewer, "one", "two", "three")
            shutil.copy(log, log.with_name("marianne.log.0"))
            os.truncate(log, 0)
            append(log, "four")
            await has(viewer, "one", "two", "three", "four")
            reasons = [data["reason"] for data in viewer.data("log_rotated")]
            assert reasons == ["renamed", "truncated"]


async def test_a_workspace_that_is_removed_and_made_again_is_followed(
    log: Path, watch: Watch
) -> None:
    append(log, "one")
    async with watch(LOGS) as viewer:
        await has(viewer, "one")
        shutil.rmtree(log.parent)
        log.parent.mkdir()
        append(log, "two")
        await has(viewer, "one", "two")
        assert viewer.data("log_rotated")[0]["reason"] == "replaced"


async def test_a_folder_that_becomes_a_link_is_not_followed_into(
    log: Path, watch: Watch, tmp_path: Path
) -> None:
    append(log, "one")
    (elsewhere := tmp_path / "elsewhere").mkdir()
    append(elsewhere / "marianne.log", "secret")
    async with watch(LOGS) as viewer:
        await has(viewer, "one")
        log.parent.rename(tmp_path / "old")
        log.parent.symlink_to(elsewhere)
        append(tmp_path / "old" / "marianne.log", "two")
        await has(viewer, "one", "two")
        assert b"secret" not in viewer.raw


@pytest.mark.parametrize("limit", [errno.EMFILE, errno.ENOSYS])
async def test_without_an_inotify_instance_the_clock_has_to_do(
    *,
    log: Path,
    settings: Settings,
    aiohttp_client: object,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    limit: int,
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(limit, os.strerror(limit))

    monkeypatch.setattr(alarms, "Inotify", refuse)
    await is_followed_by_the_clock(log, settings, aiohttp_client)
    assert os.strerror(limit) in caplog.text


async def test_when_the_kernel_has_no_watch_left_the_clock_has_to_do(
    log: Path,
    settings: Settings,
    aiohttp_client: object,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(asyncinotify.Inotify, "add_watch", refuse)
    await is_followed_by_the_clock(log, settings, aiohttp_client)
    assert caplog.text.count("inotify does not work") == 1


async def is_followed_by_the_clock(log: Path, settings: Settings, aiohttp_client: object) -> None:
    """A viewer of a server with these settings sees what is written, and a rotation."""
    quick = settings.model_copy(update={"job_log_poll_interval_s": 0.05})
    client = await aiohttp_client(create_app(quick))  # type: ignore[operator]
    append(log, "one")
    async with watching(client.session, str(client.make_url(LOGS))) as viewer:
        await has(viewer, "one")
        append(log, "two")
        await has(viewer, "one", "two")
        log.rename(log.with_name("marianne.log.1"))
        append(log, "three")
        await has(viewer, "one", "two", "three")


async def test_after_the_kernels_queue_has_run_over_every_log_is_looked_at(
    log: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(log, "one")
    heard = alarms.FileWatcher._dispatch

    def run_over(self: alarms.FileWatcher, event: asyncinotify.Event) -> None:
        # What the kernel sends instead of what it could not keep (inotify(7)).
        heard(self, asyncinotify.Event(None, asyncinotify.Mask.Q_OVERFLOW, 0, None))

    monkeypatch.setattr(alarms.FileWatcher, "_dispatch", run_over)
    async with watch(LOGS) as viewer:
        await has(viewer, "one")
        append(log, "two")
        await has(viewer, "one", "two")


async def test_a_full_disk_ends_nothing_and_the_torn_line_is_whole_later(
    log: Path, watch: Watch
) -> None:
    append(log, "one")
    async with watch(LOGS) as viewer:
        await has(viewer, "one")
        # What a write on a disk without space leaves: a part of it (write(2)).
        with log.open("a", encoding="utf-8") as file:
            file.write("tw")
        await has(viewer, "one")
        append(log, "o", "three")
        await has(viewer, "one", "two", "three")
