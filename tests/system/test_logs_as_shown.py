"""Logs are shown as a terminal shows them, and nothing is sent that is not so."""

import asyncio
import os
from pathlib import Path

import aiohttp
import pytest

from tests.support.processes import Process
from tests.support.raw_http import connected, heard_from
from tests.support.viewers import watching
from tests.support.waiting import until

MIB = 1024 * 1024


async def test_an_answer_whose_file_is_cut_ends_its_connection(running: Process, log: Path) -> None:
    log.write_bytes(b"x" * (64 * MIB))
    request = b"GET /api/jobs/logged/logs/raw HTTP/1.1\r\nHost: localhost\r\n\r\n"
    health = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def ask() -> bytes:
        with connected(running.address) as sock:
            sock.sendall(request + health)
            heard = b""
            while len(heard) < MIB:
                heard += sock.recv(MIB)
            # The rest is more than the kernel keeps for a client that does not read.
            os.truncate(log, 0)
            return heard + heard_from(sock)

    head, _, body = (await asyncio.to_thread(ask)).partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % (64 * MIB) in head
    assert len(body) < 64 * MIB
    assert set(body) == set(b"x")


@pytest.mark.parametrize("before", [0, 1, 20_000])
async def test_an_unfinished_line_that_is_rewritten_repeats_no_line(
    running: Process, log: Path, before: int
) -> None:
    log.write_bytes(b"a\n" * before + b"unfinished")
    url = f"{running.address}/api/jobs/logged/logs"
    async with aiohttp.ClientSession() as session, watching(session, url) as viewer:
        await until(lambda: viewer.raw)
        for text in (b"rewritten in place", b"cut", b"the whole\nunfinished", b"the whole\nnext\n"):
            with log.open("r+b") as file:
                file.seek(2 * before)
                file.write(text)
                file.truncate()
            # Read by the server before it changes again.
            await asyncio.sleep(0.1)
        await viewer.saw("log", min(before, 100) + 2)
    lines = [data["line"] for data in viewer.data("log")]
    assert lines == ["a"] * min(before, 100) + ["the whole", "next"]
    assert viewer.data("log")[-1]["line_number"] == before + 2
    assert viewer.counts["log_rotated"] == viewer.counts["log_gap"] == 0


async def test_a_line_that_is_rewritten_as_another_is_given_once(
    running: Process, log: Path
) -> None:
    log.write_bytes(b"a\nx")
    url = f"{running.address}/api/jobs/logged/logs"
    async with aiohttp.ClientSession() as session, watching(session, url) as viewer:
        await viewer.saw("log")
        await asyncio.sleep(0.1)
        with log.open("r+b") as file:
            file.seek(2)
            file.write(b"y\n")
        await viewer.saw("log", 2)
    assert [data["line"] for data in viewer.data("log")] == ["a", "y"]
