"""Limits of streams and downloads, in total and for each client."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.web.app_keys import DOWNLOAD_LIMITER
from tests.support.waiting import wait_until
from tests.web.conftest import BEARER, NARROWED, Start, read_error_code


def forwarded_for(address: str) -> dict[str, str]:
    """Return the headers of a request that a proxy passes on."""
    return {**BEARER, "X-Forwarded-For": f"203.0.113.9, {address}"}


@pytest.mark.parametrize("trusted", [(), ("127.0.0.1",)])
async def test_stream_limit_counts_forwarded_address_of_trusted_proxy(
    start: Start, conductor: SimulatedConductor, trusted: tuple[str, ...]
) -> None:
    conductor.launch("a", 1)
    client = await start(max_streams_per_address=1, trusted_proxies=trusted)
    url = "/api/roster/stream"

    async with client.get(url, headers=forwarded_for("198.51.100.1")) as first:
        assert first.status == 200
        async with client.get(url, headers=forwarded_for("198.51.100.1")) as same:
            assert await read_error_code(same) == (429, "too_many_streams_per_client")
        async with client.get(url, headers=forwarded_for("198.51.100.2")) as other:
            assert other.status == (200 if trusted else 429)
        accepts = {**forwarded_for("198.51.100.1"), "Accept": "text/event-stream"}
        async with client.get(url, headers=accepts) as source:
            assert source.status == 200
            assert (await source.text()).startswith("retry: ")


async def test_downloads_are_limited_in_total(start: Start, log_path: Path) -> None:
    log_path.write_bytes(b"x" * 99 + b"\n" + b"y" * 30_000_000)
    client = await start(max_downloads=1)
    path = "/api/jobs/lantern/logs/raw"
    async with aiohttp.ClientSession(headers=NARROWED | BEARER, read_bufsize=1024) as session:
        async with session.get(client.make_url(path)) as first:
            assert first.status == 200
            async with session.get(client.make_url(path)) as second:
                assert await read_error_code(second) == (429, "too_many_downloads")
            await first.read()

        downloads = client.app[DOWNLOAD_LIMITER] if client.app is not None else None
        assert downloads is not None
        await wait_until(lambda: not len(downloads))


async def test_downloads_are_limited_per_client(start: Start, log_path: Path) -> None:
    log_path.write_bytes(b"x" * 99 + b"\n" + b"y" * 30_000_000)
    client = await start(max_downloads_per_address=1, trusted_proxies=("127.0.0.1",))
    url = client.make_url("/api/jobs/lantern/logs/raw")
    async with aiohttp.ClientSession(headers=NARROWED | BEARER, read_bufsize=1024) as session:
        async with session.get(url, headers=forwarded_for("198.51.100.1")) as first:
            assert first.status == 200
            async with session.get(url, headers=forwarded_for("198.51.100.1")) as same:
                assert await read_error_code(same) == (429, "too_many_downloads_per_client")
            async with session.get(url, headers=forwarded_for("198.51.100.2")) as other:
                assert other.status == 200
                await asyncio.gather(first.read(), other.read())
        async with session.get(url, headers=forwarded_for("198.51.100.1")) as again:
            assert again.status == 200
            await again.read()
