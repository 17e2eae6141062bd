"""Tests of the `demo` command in this process."""

import asyncio
from pathlib import Path

import pytest

from marianne_stream.cli.demo import print_demo_lines, run_demo
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


def test_commands_follow_all_addresses_and_name_the_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    addresses = ["listening on http://127.0.0.1:1", "listening on http://[::1]:1"]
    print_demo_lines(addresses)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == addresses
    assert lines[3] == "  marianne-stream watch --url http://127.0.0.1:1"
    assert "[::1]" not in "".join(lines[2:])
