"""Tests of the `demo` command in this process."""

import asyncio
from pathlib import Path

from marianne_stream.cli.demo import run_demo
from marianne_stream.config.settings import Settings
from tests.support.waiting import wait_until


async def test_cancelled_demo_leaves_no_task(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    settings = Settings(port=0, no_auth=True, data_dir=tmp_path / "private")
    demo = asyncio.create_task(run_demo(settings, tmp_path, None, 10.0))
    await wait_until(lambda: any(tmp_path.rglob("marianne.log")))
    demo.cancel()
    await asyncio.wait([demo])
    assert demo.cancelled()
    assert asyncio.all_tasks() == before
