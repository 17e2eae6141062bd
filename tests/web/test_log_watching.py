"""A log is followed where inotify does not work, and where its folder comes and goes."""

import os
import shutil
from pathlib import Path

import pytest

from marianne_stream.settings import Settings
from tests.web.conftest import Watch
from tests.web.test_log_stream import LOGS, append, has


class TestByTheClock:
    """Without inotify."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        """Settings that poll."""
        return settings.model_copy(update={"log_watch": "poll", "log_poll_interval": 0.05})

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
