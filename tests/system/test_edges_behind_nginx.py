"""Edges behind a real nginx with the settings of the guide and the files of docs/examples.

All on one machine, Redis without TLS, one worker each, so that a kill takes a whole edge.
"""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.log_files import append_lines
from tests.support.nginx_server import (
    EXAMPLES,
    SITE_NAME,
    ProxiedServer,
    check_unavailable_responses,
    fill_example,
    run_behind_nginx,
)
from tests.support.ports import free_port
from tests.support.processes import ManagedProcess
from tests.support.redis_acl import PASSWORD, edge_acl, relay_acl
from tests.support.redis_server import RedisServer, run_redis
from tests.support.systemd_units import run_unit
from tests.support.viewers import Viewer, fetch_open_streams, open_viewer
from tests.support.waiting import TIMEOUT_S, wait_until

GUIDE = EXAMPLES.parent / "how-to" / "more-than-one-machine.md"
TOKEN = "whole-token-0123456789"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
JOB = "logged"


class Edges:
    """Two edges behind nginx.

    Args:
        behind: nginx.
        running: the edges.
    """

    def __init__(self, behind: ProxiedServer, running: list[ManagedProcess]) -> None:
        self.session, self.address, self.behind = behind.session, behind.address, behind
        self.running = running

    def url(self, path: str) -> str:
        """Return the URL of a path of the job."""
        return f"{self.address}/api/jobs/{JOB}{path}"

    def watching(self) -> AbstractAsyncContextManager[Viewer]:
        """Open a viewer of the job's status."""
        return open_viewer(self.session, self.url("/stream"))

    async def streams(self) -> list[int]:
        """Return the number of open streams of each edge."""
        return [sum((await fetch_open_streams(edge.address)).values()) for edge in self.running]

    async def wait_for_streams(self, *counts: int) -> None:
        """Wait until the edges have these numbers of open streams, in any order."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                if sorted(await self.streams()) == list(counts):
                    return
                await asyncio.sleep(0.02)

    async def kill(self, number: int) -> None:
        """Kill an edge."""
        self.running[number].send_signal(signal.SIGKILL)
        await self.running[number].wait()

    async def status(self, path: str, **headers: str) -> int:
        """Return the status of a response to a program."""
        async with self.session.get(self.url(path), headers=headers) as answer:
            return answer.status


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """Run a Redis with only the two users of the documentation."""
    async with run_redis(tmp_path) as redis:
        for words in (relay_acl("oak"), edge_acl()):
            await redis.call("ACL", "SETUSER", *words)
        yield redis
        assert await redis.call("ACL", "LOG") == []


def settings(number: int, **unit_values: object) -> str:
    """Return the settings of the guide, of the relay (0) or an edge (1), with paths replaced."""
    text: str = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), re.DOTALL)[number]
    for name, value in unit_values.items():
        text, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        assert count == 1, name
    return text


def unit_values(folder: Path) -> dict[str, object]:
    """Create a directory; return the placeholders that all units have, filled with its files."""
    folder.mkdir()
    (folder / "password").write_text(f"{PASSWORD}\n")
    return {
        "PYTHON": sys.executable,
        "CONFIG": folder / "config",
        "ADDRESSES": "localhost",
        "REDIS_PASSWORD": folder / "password",
    }


@asynccontextmanager
async def run_relay_unit(
    unit: str, folder: Path, redis: RedisServer
) -> AsyncIterator[ManagedProcess]:
    """Run a unit that publishes from the conductor in a directory."""
    url = redis.url.replace("//", "//relay-oak@")
    text = settings(0, registry_path=f'"{folder}/state.db"', publish_url=f'"{url}"')
    (folder / "relay" / "config").write_text(f'conductor_socket = "{folder}/c.sock"\n{text}')
    async with run_unit(unit, folder / "relay", MARIANNE_STREAM_PORT="0") as running:
        yield running
    assert "WARNING" not in running.log


@pytest.fixture
async def relay(
    tmp_path: Path, conductor: SimulatedConductor, redis: RedisServer
) -> AsyncIterator[ManagedProcess]:
    """Run the relay's unit."""
    owner = {"USER": "root", "SOCKET_GROUP": "root"}
    unit = fill_example("marianne-stream-relay.service", **unit_values(tmp_path / "relay"), **owner)
    async with run_relay_unit(unit, tmp_path, redis) as running:
        assert running.first_line == "marianne-stream publishes as oak\n"
        yield running


@asynccontextmanager
async def edge(
    folder: Path, redis: RedisServer, **environment: str
) -> AsyncIterator[ManagedProcess]:
    """Run the edge's unit."""
    unit = fill_example(
        "marianne-stream-edge.service",
        **unit_values(folder),
        PORT=free_port(),
        TOKENS=folder / "tokens",
    )
    url = redis.url.replace("//", "//edge@")
    here = {"host": '"127.0.0.1"', "trusted_proxies": '["127.0.0.1"]', "redis_url": f'"{url}"'}
    here["sources"] = '["oak"]'
    (folder / "config").write_text(settings(1, **here))
    (folder / "tokens").write_text(f"{TOKEN}\n")
    given = {"MARIANNE_STREAM_WORKERS": "1", "MARIANNE_STREAM_PUBLIC_METRICS": "true"}
    async with run_unit(unit, folder, **(given | environment)) as running:
        yield running


@asynccontextmanager
async def two_edges(
    folder: Path, redis: RedisServer, *, private: tuple[str, str] = ("", "")
) -> AsyncIterator[Edges]:
    """Run two edges behind nginx that have the job; their state is separate or shared."""
    states = [{"STATE_DIRECTORY": path} if path else {} for path in private]
    async with (
        edge(folder / "edge-1", redis, **states[0]) as first,
        edge(folder / "edge-2", redis, **states[1]) as second,
    ):
        one, two = (edge.address.removeprefix("http://") for edge in (first, second))
        async with run_behind_nginx(
            folder, example="nginx-edges.conf", EDGE_1=one, EDGE_2=two
        ) as behind:
            for running in (first, second):
                await wait_for_job(behind.session, running)
            yield Edges(behind, [first, second])


async def wait_for_job(session: aiohttp.ClientSession, edge: ManagedProcess) -> None:
    """Wait until the edge has the job."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            async with session.get(f"{edge.address}/api/jobs/{JOB}", headers=BEARER) as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("conductor", "log_path")
async def test_publish_drop_in_makes_the_server_publish(tmp_path: Path, redis: RedisServer) -> None:
    given = unit_values(tmp_path / "relay")
    own = {name: given.pop(name) for name in ("PYTHON", "CONFIG")}
    unit = fill_example(
        "marianne-stream.service", **own, USER="root", SOCKET_GROUP="root", CHECKOUT="/"
    )
    unit += fill_example("marianne-stream-publish.conf", **given)
    async with (
        run_relay_unit(unit, tmp_path, redis) as running,
        edge(tmp_path / "edge", redis) as other,
        aiohttp.ClientSession() as session,
    ):
        assert "listening" in running.first_line
        await wait_for_job(session, other)


@pytest.mark.usefixtures("relay", "log_path")
async def test_edge_with_the_workers_of_the_guide_requires_a_token(
    tmp_path: Path, redis: RedisServer
) -> None:
    # An empty value counts as not set.
    async with edge(tmp_path / "edge", redis, MARIANNE_STREAM_WORKERS="") as running:
        async with aiohttp.ClientSession() as session:
            await wait_for_job(session, running)
            async with session.get(f"{running.address}/api/jobs") as answer:
                assert answer.status == 401
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0


@pytest.mark.usefixtures("relay")
async def test_viewer_of_a_killed_edge_resumes_at_the_other(
    tmp_path: Path, redis: RedisServer, log_path: Path
) -> None:
    append_lines(log_path, "line 0")
    async with two_edges(tmp_path, redis) as edges:
        edges.session.headers.update(BEARER)
        async with open_viewer(edges.session, edges.url("/logs")) as viewer:
            await viewer.wait_for("log")
            append_lines(log_path, "line 1")
            await viewer.wait_for("log", 2)
            await edges.kill((await edges.streams()).index(1))
            await wait_until(lambda: viewer.error or viewer.has_ended)
            lines = [data["line"] for data in viewer.event_data("log")]
        append_lines(log_path, "line 2")
        async with open_viewer(
            edges.session, edges.url("/logs"), last_event_id=viewer.last_event_id
        ) as viewer:
            await viewer.wait_for("log")
            append_lines(log_path, "line 3")
            await viewer.wait_for("log", 2)
            lines += [data["line"] for data in viewer.event_data("log")]
        # The source is not reported as lost.
        assert [await edges.status("") for _ in range(8)] == [200] * 8
    assert lines == ["line 0", "line 1", "line 2", "line 3"]


@pytest.mark.usefixtures("relay", "log_path")
async def test_viewers_without_an_edge_are_asked_to_retry(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with two_edges(tmp_path, redis) as edges:
        for number in range(2):
            await edges.kill(number)
        for headers in ({}, BEARER):
            edges.session.headers.update(headers)
            await check_unavailable_responses(edges.behind)


def abort_connection(viewer: Viewer) -> None:
    """Abort a viewer's connection: a close by TLS would wait for an answer."""
    connection = viewer.response.connection
    assert connection is not None
    assert connection.transport is not None
    connection.transport.abort()


@pytest.mark.usefixtures("relay", "log_path")
async def test_token_client_goes_to_the_edge_with_fewest_streams(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with two_edges(tmp_path, redis) as edges:
        edges.session.headers.update(BEARER)
        async with AsyncExitStack() as stack:
            at_first = []
            for _ in range(4):
                before = await edges.streams()
                viewer = await stack.enter_async_context(edges.watching())
                if (await edges.streams())[0] > before[0]:
                    at_first.append(viewer)
            assert await edges.streams() == [2, 2]
            for viewer in at_first:
                abort_connection(viewer)
            await edges.wait_for_streams(0, 2)
            # Round robin would send one of these two to the other edge as its third stream.
            async with edges.watching(), edges.watching():
                assert await edges.streams() == [2, 2]
        assert "marianne_seat" not in {cookie.key for cookie in edges.session.cookie_jar}


@pytest.mark.usefixtures("relay", "log_path")
@pytest.mark.parametrize("shared", [False, True], ids=["of its own", "shared"])
async def test_browser_session_is_sticky_or_shared_between_edges(
    tmp_path: Path, redis: RedisServer, *, shared: bool
) -> None:
    folder = str(tmp_path / "shared") if shared else ""
    async with two_edges(tmp_path, redis, private=(folder, folder)) as edges:
        form, origin = {"token": TOKEN, "next": "/"}, {"Origin": edges.address}
        async with edges.session.get(edges.address, headers={"Accept": "text/html"}) as page:
            assert page.url.path == "/login"
        url = f"{edges.address}/login"
        async with edges.session.post(url, data=form, headers=origin) as page:
            assert page.status == 200
        assert {cookie["secure"] for cookie in edges.session.cookie_jar} == {True}
        assert [await edges.status("") for _ in range(8)] == [200] * 8
        async with edges.watching() as viewer:
            await viewer.wait_for("job_status")
            await edges.kill((await edges.streams()).index(1))
            await wait_until(lambda: viewer.error or viewer.has_ended)
        assert await edges.status("") == (200 if shared else 401)


async def test_guide_settings_allow_the_site_name() -> None:
    """The certificate of the tests is valid for this name only, and so are their results."""
    assert f'allowed_hosts = ["{SITE_NAME}"]' in settings(1)
