"""Tail of a filtered log stream."""

import asyncio
import gzip
import threading
from pathlib import Path

import pytest

from marianne_stream.logs.filters import TextFilter
from tests.support.log_files import append_lines
from tests.support.log_lines import LOGS, expect_lines, numbered_lines
from tests.support.waiting import wait_until
from tests.web.conftest import Client, OpenStream


async def test_filtered_tail_finds_newest_matches_far_back(
    log_path: Path, open_stream: OpenStream
) -> None:
    append_lines(log_path, "[error] one", "[error] two", "[error] three")
    append_lines(log_path, *(f"[info] {n}" for n in range(4, 3001)))
    params = {"level": "error", "tail_lines": "2"}
    async with open_stream(LOGS, follow="false", **params) as part:
        await part.wait_ended()
        assert numbered_lines(part) == [(2, "[error] two"), (3, "[error] three")]
        assert part.event_names == ["log", "log", "log_complete"]
    async with open_stream(LOGS, **params) as viewer:
        await expect_lines(viewer, "[error] two", "[error] three")
        append_lines(log_path, "[info] 3001", "[error] last")
        await expect_lines(viewer, "[error] two", "[error] three", "[error] last")
        assert [data["initial"] for data in viewer.event_data("log")] == [True, True, False]
        assert numbered_lines(viewer)[-1] == (3002, "[error] last")


async def test_stream_resumed_from_filtered_tail_sends_each_line_once(
    log_path: Path, open_stream: OpenStream
) -> None:
    append_lines(log_path, "[error] one", *(f"[info] {n}" for n in range(2, 1001)))
    async with open_stream(LOGS, level="error") as viewer:
        await wait_until(lambda: viewer.last_event_id.split("-")[-2:-1] == ["1000"])
        seen = viewer.last_event_id
        assert [line for _, line in numbered_lines(viewer)] == ["[error] one"]
    append_lines(log_path, "[info] 1001", "[error] 1002")
    async with open_stream(LOGS, level="error", last_event_id=seen) as viewer:
        await expect_lines(viewer, "[error] 1002")
        assert viewer.event_names == ["log"]


@pytest.mark.parametrize("form", ["plain", "gzip"])
async def test_filtered_tail_crosses_rotated_files(
    log_path: Path, open_stream: OpenStream, form: str
) -> None:
    append_lines(log_path, "[error] one", "[info] two", "[error] three")
    old = log_path.with_name("marianne.log.1")
    if form == "gzip":
        with gzip.open(f"{old}.gz", "wb") as packed:
            packed.write(log_path.read_bytes())
        log_path.unlink()
    else:
        log_path.rename(old)
    append_lines(log_path, "[info] one of the next", "[error] two of the next")
    async with open_stream(LOGS, level="error") as viewer:
        await expect_lines(viewer, "[error] one", "[error] three", "[error] two of the next")
        assert [number for number, _ in numbered_lines(viewer)] == [1, 3, 2]
        assert viewer.event_names == ["log", "log", "log_rotated", "log"]
    async with open_stream(LOGS, level="error", tail_lines="1") as viewer:
        await expect_lines(viewer, "[error] two of the next")


async def test_filtered_stream_can_disconnect_while_waiting_to_search(
    log_path: Path, open_stream: OpenStream, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_lines(log_path, "one")
    entered, may_go = threading.Semaphore(0), threading.Event()
    in_block = TextFilter.find_matches

    def slowly(wanted: TextFilter, block: bytes) -> list[int]:
        entered.release()
        may_go.wait(10)
        return in_block(wanted, block)

    monkeypatch.setattr(TextFilter, "find_matches", slowly)
    params = {"contains": "one"}
    searches = [asyncio.create_task(client.get(f"{LOGS}/lines", params=params)) for _ in range(2)]
    for _ in searches:
        assert await asyncio.to_thread(entered.acquire, timeout=10)
    async with open_stream(LOGS, **params) as waiting:
        async with open_stream(LOGS, **params) as leaving:
            await wait_until(lambda: waiting.retry_ms and leaving.retry_ms)
        append_lines(log_path, "one more")
        assert waiting.event_names == []
        may_go.set()
        await expect_lines(waiting, "one", "one more")
    for search in searches:
        assert (await search).status == 200


async def test_lines_written_during_filtered_tail_follow_once_in_order(
    log_path: Path, open_stream: OpenStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_lines(log_path, "one")
    in_block = TextFilter.find_matches

    def written_meanwhile(wanted: TextFilter, block: bytes) -> list[int]:
        append_lines(log_path, "one behind")
        return in_block(wanted, block)

    monkeypatch.setattr(TextFilter, "find_matches", written_meanwhile)
    async with open_stream(LOGS, contains="one") as viewer:
        await expect_lines(viewer, "one", "one behind")
        append_lines(log_path, "one last")
        await expect_lines(viewer, "one", "one behind", "one last")
        assert [number for number, _ in numbered_lines(viewer)] == [1, 2, 3]


async def test_file_truncated_during_filtered_tail_is_read_from_start(
    log_path: Path, open_stream: OpenStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_lines(log_path, "one")
    in_block = TextFilter.find_matches

    def cut_meanwhile(wanted: TextFilter, block: bytes) -> list[int]:
        log_path.write_text("one of the new\n")
        return in_block(wanted, block)

    monkeypatch.setattr(TextFilter, "find_matches", cut_meanwhile)
    async with open_stream(LOGS, contains="one") as viewer:
        await expect_lines(viewer, "one of the new")
        assert viewer.event_names == ["log_rotated", "log"]
