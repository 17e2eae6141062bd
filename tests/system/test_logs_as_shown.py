"""Logs are shown as a terminal shows them, and nothing is sent that is not so."""

import asyncio
import os
from pathlib import Path

from tests.support.processes import Process
from tests.support.raw_http import connected, heard_from

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
