"""Logs are sent as a terminal would display them."""

import asyncio
import bz2
import gzip
import json
import lzma
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.log_files import append_bytes
from tests.support.processes import ManagedProcess
from tests.support.raw_http import open_connection, receive
from tests.support.terminals import open_terminal, run_command
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_until

MIB = 1024 * 1024


async def test_download_of_a_truncated_file_aborts_the_connection(
    server: ManagedProcess, log_path: Path
) -> None:
    log_path.write_bytes(b"x" * (64 * MIB))
    request = b"GET /api/jobs/logged/logs/raw HTTP/1.1\r\nHost: localhost\r\n\r\n"
    health = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def ask() -> bytes:
        with open_connection(server.address) as sock:
            sock.sendall(request + health)
            heard = b""
            while len(heard) < MIB:
                heard += sock.recv(MIB)
            # The rest is larger than the socket buffers of a client that does not read.
            os.truncate(log_path, 0)
            return heard + receive(sock)

    head, _, body = (await asyncio.to_thread(ask)).partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % (64 * MIB) in head
    assert len(body) < 64 * MIB
    assert set(body) == set(b"x")


@pytest.mark.parametrize("before", [0, 1, 20_000])
async def test_rewritten_partial_line_repeats_no_line(
    server: ManagedProcess, log_path: Path, before: int
) -> None:
    log_path.write_bytes(b"a\n" * before + b"unfinished")
    url = f"{server.address}/api/jobs/logged/logs"
    async with aiohttp.ClientSession() as session, open_viewer(session, url) as viewer:
        await wait_until(lambda: viewer.raw)
        for text in (b"rewritten in place", b"cut", b"the whole\nunfinished", b"the whole\nnext\n"):
            with log_path.open("r+b") as file:
                file.seek(2 * before)
                file.write(text)
                file.truncate()
            # The server reads this version before the line changes again.
            await asyncio.sleep(0.1)
        await viewer.wait_for("log", min(before, 100) + 2)
    lines = [data["line"] for data in viewer.event_data("log")]
    assert lines == ["a"] * min(before, 100) + ["the whole", "next"]
    assert viewer.event_data("log")[-1]["line_number"] == before + 2
    assert viewer.event_counts["log_rotated"] == viewer.event_counts["log_gap"] == 0


async def test_line_rewritten_in_place_is_sent_once(server: ManagedProcess, log_path: Path) -> None:
    log_path.write_bytes(b"a\nx")
    url = f"{server.address}/api/jobs/logged/logs"
    async with aiohttp.ClientSession() as session, open_viewer(session, url) as viewer:
        await viewer.wait_for("log")
        await asyncio.sleep(0.1)
        with log_path.open("r+b") as file:
            file.seek(2)
            file.write(b"y\n")
        await viewer.wait_for("log", 2)
    assert [data["line"] for data in viewer.event_data("log")] == ["a", "y"]


async def test_partial_line_is_replaced_by_the_whole_line(
    server: ManagedProcess, log_path: Path
) -> None:
    append_bytes(log_path, b"one\ntwo\nunfin")
    url = f"{server.address}/api/jobs/logged/logs"
    async with (
        aiohttp.ClientSession() as session,
        open_viewer(session, url, tail_lines="1") as viewer,
    ):
        shown = await viewer.wait_for("log_partial")
        assert shown == {"job_id": "logged", "line": "unfin", "line_number": 3}
        assert viewer.event_names == ["log", "log_partial"]
        position = viewer.last_event_id
        append_bytes(log_path, b"ished")
        await viewer.wait_for("log_partial", 2)
        # A viewer that connects meanwhile gets the partial line at once.
        async with open_viewer(session, url, last_event_id=position) as later:
            assert (await later.wait_for("log_partial"))["line"] == "unfinished"
            append_bytes(log_path, b" line\nfour\n")
            await later.wait_for("log", 2)
        await viewer.wait_for("log", 3)
    events = [event for event in viewer.events if event.event == "log_partial"]
    assert {event.event_id for event in events} == {position}
    assert [data["line"] for data in viewer.event_data("log")] == ["two", "unfinished line", "four"]
    assert [data["line_number"] for data in viewer.event_data("log")] == [2, 3, 4]


async def test_removed_partial_line_is_sent_as_empty(
    server: ManagedProcess, log_path: Path
) -> None:
    append_bytes(log_path, b"one\nunfinished")
    url = f"{server.address}/api/jobs/logged/logs"
    async with aiohttp.ClientSession() as session, open_viewer(session, url) as viewer:
        await viewer.wait_for("log_partial")
        os.truncate(log_path, 4)
        gone = {"job_id": "logged", "line": "", "line_number": 2}
        assert await viewer.wait_for("log_partial", 2) == gone


@pytest.mark.parametrize("back", [b"\r", b"\x1b[2K\x1b[1G", b"\x1b[2K\x1b[G"])
async def test_progress_bar_is_updated_in_place(
    server: ManagedProcess, log_path: Path, back: bytes
) -> None:
    append_bytes(log_path, b"one\n")
    url = f"{server.address}/api/jobs/logged/logs"
    async with aiohttp.ClientSession() as session, open_viewer(session, url) as viewer:
        await viewer.wait_for("log")
        percent = 0
        # A progress bar that is rewritten this often is never quiet.
        while viewer.event_counts["log_partial"] < 3:
            percent += 1
            append_bytes(log_path, back + b"%d %%" % percent)
            await asyncio.sleep(0.02)
        append_bytes(log_path, back + b"done\n")
        await viewer.wait_for("log", 2)
    shown = [int(data["line"].removesuffix(" %")) for data in viewer.event_data("log_partial")]
    assert shown == sorted(set(shown))
    # Not every version is sent: at most four a second.
    assert len(shown) < percent / 4
    assert viewer.event_data("log")[-1]["line"] == "done"


async def test_pages_and_searches_include_the_partial_line(
    server: ManagedProcess, log_path: Path
) -> None:
    append_bytes(log_path, b"one\n1 %\r2 %\ntwo\n50 %\r75 %")
    unfinished = {"line": "75 %", "line_number": 4}
    url = f"{server.address}/api/jobs/logged/logs/lines"
    async with aiohttp.ClientSession() as session:

        async def page(**params: str) -> dict[str, Any]:
            async with session.get(url, params=params) as answer:
                found: dict[str, Any] = await answer.json()
                return found

        newest = await page()
        assert [line["line"] for line in newest["lines"]] == ["one", "2 %", "two"]
        assert newest["partial"] == unfinished
        assert (await page(contains="75"))["partial"] == unfinished
        assert [line["line"] for line in (await page(regex=r"^\d %$"))["lines"]] == ["2 %"]
        for nothing in ("50", "1 %"):
            found = await page(contains=nothing)
            assert (found["lines"], found["partial"]) == ([], None)
        assert (await page(**{"from": "start"}))["partial"] == unfinished
        assert (await page(**{"from": "start"}, limit="2"))["partial"] is None
        assert (await page(after=newest["after"]))["partial"] == unfinished


async def test_terminal_shows_the_partial_line_and_each_line_once(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    append_bytes(log_path, b"one\ntwo\n50 %\r75 %")
    logs = ("logs", "logged", "--url", server.address)
    for options, shown in (
        (("-n", "1"), ["two", "75 %"]),
        (("-n", "0"), ["75 %"]),
        (("-n", "0", "--grep", "75"), ["75 %"]),
        (("-n", "0", "--grep", "50"), []),
    ):
        assert (await run_command(tmp_path, *logs, *options)).lines == shown
    events = [json.loads(line) for line in (await run_command(tmp_path, *logs, "--json")).lines]
    assert [event["event"] for event in events] == ["log", "log", "log_complete"]


async def test_terminal_redraws_a_progress_bar_in_one_row(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    append_bytes(log_path, b"one\n")
    logs = ("logs", "logged", "-f", "--url", server.address)
    async with open_terminal(tmp_path, *logs) as shell:
        await wait_until(lambda: "one\r\n" in shell.raw)
        append_bytes(log_path, b"\r50 % " + b"#" * 200)
        await wait_until(lambda: "50 % #" in shell.raw)
        append_bytes(log_path, b"\r75 %")
        await wait_until(lambda: "75 %" in shell.raw)
        append_bytes(log_path, b"\rdone\nlast\n")
        await wait_until(lambda: "last\r\n" in shell.raw)
    drawn = shell.raw.partition("one\r\n")[2]
    # One row that is redrawn, followed by the whole lines.
    assert drawn.partition("\r\n")[0].rpartition("\r\x1b[K")[2] == "done"
    assert drawn.count("\r\n") == 2


ROTATED_NAMES = (
    *("marianne.log.1", "marianne.log.1.gz", "marianne.log.2.xz", "marianne.log.3.bz2"),
    *("marianne.log-20261128", "marianne.log-20261128.gz", "marianne.log-20261128-1764313200.xz"),
    *("marianne.log.2026-11-28", "marianne.log.2026-11-28_05", "marianne.log.2026-11-28_05-30-11"),
    *("marianne-20261128.log", "marianne-20261128.log.bz2", "marianne.2026-11-28.log"),
    *("marianne.1.log", "marianne.2.log.xz", "marianne_2026-11-28.log"),
)
OTHER_NAMES = (
    *("marianne.log.bak", "marianne-2.log", "marianne-old.log", "marianne.log.1.tmp"),
    *("other.log.1", "xmarianne.log.1", "marianne.logs.1", "marianne.log.1.zip", "marianne.log.gz"),
)
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".xz": partial(lzma.compress, preset=0),
    ".bz2": bz2.compress,
}


async def test_rotated_file_is_recognized_by_name(
    server: ManagedProcess, conductor: SimulatedConductor, tmp_path: Path
) -> None:
    names = {f"job-{number}": name for number, name in enumerate((*ROTATED_NAMES, *OTHER_NAMES))}
    for job_id, name in names.items():
        compress = COMPRESS.get(Path(name).suffix, bytes)
        (workspace := tmp_path / job_id).mkdir()
        # For every decompressor, two concatenated streams are one file.
        (workspace / name).write_bytes(compress(b"old one\nold ") + compress(b"two\n"))
        os.utime(workspace / name, (1_000_000, 1_000_000))
        (workspace / "marianne.log").write_bytes(b"new\n")
        conductor.launch(job_id, 1, workspace=str(workspace))
    async with aiohttp.ClientSession(f"{server.address}/api/jobs/") as session:
        for job_id, name in names.items():
            async with session.get(f"{job_id}/logs/lines") as answer:
                lines = [line["line"] for line in (await answer.json())["lines"]]
            expected = ["old one", "old two", "new"] if name in ROTATED_NAMES else ["new"]
            assert lines == expected, name


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("damage", ["cut", "garbage"])
async def test_readable_part_of_a_damaged_file_is_shown_before_a_gap(
    server: ManagedProcess, log_path: Path, ending: str, damage: str
) -> None:
    text = b"".join(b"%d %d\n" % (number, number**9) for number in range(100_000))
    whole = COMPRESS[ending](text)
    damaged = whole[:-1000] if damage == "cut" else whole[: len(whole) // 2] + b"garbage" * 1000
    log_path.with_name(f"marianne.log.1{ending}").write_bytes(damaged)
    os.utime(log_path.with_name(f"marianne.log.1{ending}"), (1_000_000, 1_000_000))
    log_path.write_bytes(b"new\n")
    url = f"{server.address}/api/jobs/logged/logs/lines"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        page = await answer.json()
    assert page["gap"]
    assert len(page["lines"]) == 100
    assert page["lines"][-1]["line"] == "new"
    assert page["lines"][-2]["line_number"] > 1_000
