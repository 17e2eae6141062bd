"""An edge for several conductors, and requests that only an origin can answer."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.errors import LogNotFoundError, StateUnavailableError
from marianne_stream.relay.edge.relayed_source import RelayedSource
from marianne_stream.relay.edge.source_reader import ReadPacing
from marianne_stream.relay.redis_client import close_connections, make_client
from marianne_stream.relay.schema import SourceKeys
from tests.relay.conftest import append_lines
from tests.support.redis_server import RedisServer
from tests.support.relay_servers import RelayServer, run_edge, run_origin
from tests.support.waiting import wait_until

OAK = SourceKeys("marianne-stream", "oak")

PLACES = ("raw", "static", "info", "lines?limit=5&contains=a%20b")


@pytest.fixture
async def conductors(tmp_path: Path) -> AsyncIterator[dict[str, SimulatedConductor]]:
    """Run two conductors, each with its own job and one job id that both have."""
    async with AsyncExitStack() as stack:
        found = {}
        for name in ("oak", "elm"):
            (folder := tmp_path / name).mkdir()
            found[name] = SimulatedConductor(
                folder / "c.sock", registry=folder / "state.db", shutdown_grace_s=0
            )
            await found[name].start()
            stack.push_async_callback(found[name].kill)
            found[name].launch(f"of-{name}", 2)
            found[name].launch("of-both", 2)
        yield found


@pytest.fixture
async def origins(
    tmp_path: Path, redis: RedisServer, conductors: dict[str, SimulatedConductor]
) -> AsyncIterator[None]:
    """Run an origin for each conductor."""
    async with (
        run_origin(tmp_path / "oak", redis, "oak"),
        run_origin(tmp_path / "elm", redis, "elm"),
    ):
        yield


BOTH = ("oak", "elm")

ALL = ("elm:of-both", "elm:of-elm", "oak:of-both", "oak:of-oak")


async def read_job_ids(site: RelayServer, **options: dict[str, str]) -> list[str]:
    _, page = await site.get("/api/jobs", **options)
    return sorted(job["job_id"] for job in page["jobs"])


async def test_jobs_of_several_sources_have_ids_with_the_source_name(
    redis: RedisServer, origins: None
) -> None:
    async with run_edge(redis, sources=BOTH) as both, run_edge(redis, sources=("elm",)) as one:
        await both.wait_live(*ALL)
        assert await read_job_ids(both) == list(ALL)
        await one.wait_live("of-both", "of-elm")
        assert await read_job_ids(one) == ["of-both", "of-elm"]
        for asked, found in (
            ("elm:of-both", "elm:of-both"),
            ("of-oak", "oak:of-oak"),
            ("of-both", None),
            ("ash:of-oak", None),
        ):
            status, job = await both.get(f"/api/jobs/{asked}")
            assert (status, job.get("job_id")) == ((200, found) if found else (404, None))


async def test_events_and_changes_of_several_sources_have_public_ids(
    redis: RedisServer, origins: None, conductors: dict[str, SimulatedConductor]
) -> None:
    async with run_edge(redis, sources=BOTH) as both:
        await both.wait_live(*ALL)
        async with (
            both.open_viewer("/api/events/stream", job_id="of-oak") as events,
            both.open_viewer("/api/jobs/of-oak/stream") as status,
        ):
            await events.wait_for("source")
            conductors["elm"].emit("of-both", "job.said")
            conductors["oak"].emit("of-oak", "job.said")
            assert (await events.wait_for("job.said"))["job_id"] == "oak:of-oak"
            conductors["oak"].dispatch("of-oak", 1)
            assert (await status.wait_for_status(current_sheet=1))["job_id"] == "oak:of-oak"
            assert events.event_counts["job.said"] == 1


async def test_cursor_of_several_sources_is_valid_on_an_edge_with_another_order(
    redis: RedisServer, origins: None, conductors: dict[str, SimulatedConductor]
) -> None:
    async with run_edge(redis, sources=BOTH) as one:
        await one.wait_live(*ALL)
        async with one.open_viewer("/api/events/stream") as viewer:
            await viewer.wait_for("source")
            for number in range(30):
                for name, conductor in conductors.items():
                    conductor.emit(f"of-{name}", "job.said", {"number": number})
            await viewer.wait_for("job.said", 60)
            told = [event for event in viewer.events if event.event == "job.said"]
        # The edge reads one source after the other.
        async with run_edge(redis, sources=BOTH[::-1]) as other:
            await other.wait_live(*ALL)
            for at in (0, 17, 40, 58):
                async with other.open_viewer(
                    "/api/events/stream", last_event_id=told[at].event_id
                ) as back:
                    await back.wait_for("job.said", 59 - at)
                    rest = [event.data for event in back.events if event.event == "job.said"]
                    assert sorted(rest) == sorted(event.data for event in told[at + 1 :])
                    assert back.event_counts["gap"] == 0


async def test_token_with_job_pattern_matches_public_ids(
    tmp_path: Path, redis: RedisServer, origins: None
) -> None:
    (tokens := tmp_path / "tokens").write_text(f"{'a' * 32} oak:*\n{'b' * 32} of-*\n")
    tokens.chmod(0o600)
    async with (
        run_edge(redis, sources=BOTH) as open_to_all,
        run_edge(redis, sources=BOTH, no_auth=False, token_file=tokens) as both,
    ):
        await open_to_all.wait_live(*ALL)
        oak, plain = ({"Authorization": f"Bearer {letter * 32}"} for letter in "ab")
        await both.wait_live("oak:of-both", "oak:of-oak", headers=oak)
        assert await read_job_ids(both, headers=oak) == ["oak:of-both", "oak:of-oak"]
        assert (await both.get("/api/jobs/of-oak", headers=oak))[0] == 200
        assert (await both.get("/api/jobs/of-elm", headers=oak))[0] == 404
        assert await read_job_ids(both, headers=plain) == []
        assert (await both.get("/api/jobs/of-oak", headers=plain))[0] == 404


async def test_request_that_needs_the_file_is_redirected_to_the_origin(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_lines(log_path, "one")
    there = "https://oak.example.org/base/"
    async with (
        run_origin(tmp_path, redis, public_url=there, root_path="/base"),
        run_edge(redis) as second,
    ):
        await second.wait_live("lantern")
        for place in PLACES:
            status, location = await second.get(f"/api/jobs/lantern/logs/{place}")
            assert (status, location) == (307, f"{there}api/jobs/lantern/logs/{place}")
        for path in ("files?depth=1", "files/a%20b.txt", "file-stream/a.log", "file-lines/a.log"):
            answer = await second.get(f"/api/jobs/lantern/{path}")
            assert answer == (307, f"{there}api/jobs/lantern/{path}")
        assert (await second.get("/api/jobs/lantern/logs?source=job"))[0] == 307
        assert (await second.get("/api/jobs/nobody/logs/raw"))[0] == 404
        ours = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
        status, error = await second.get("/api/jobs/lantern/logs/lines", headers=ours)
        assert (status, error["code"]) == (501, "not_available_on_edge")
        assert there in error["detail"]


async def test_request_that_needs_the_file_without_origin_url_is_an_error(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_lines(log_path, *(f"line {number}" for number in range(1, 1201)))
    async with (
        run_origin(tmp_path, redis, redis_log_max_lines=100) as first,
        run_edge(redis) as second,
    ):
        await second.wait_live("lantern")
        for place in PLACES:
            status, error = await second.get(f"/api/jobs/lantern/logs/{place}")
            assert (status, error["code"]) == (501, "not_available_on_edge")
        async with second.open_viewer("/api/jobs/lantern/logs", tail_lines="10") as viewer:
            await viewer.wait_for("log", 10)
            append_lines(log_path, *(f"line {number}" for number in range(1201, 1801)))
            await wait_until(lambda: b"line 1800" in viewer.raw)
            # Some lines were trimmed before the edge had read them.
            numbers = [int(data["line"].split()[1]) for data in viewer.event_data("log")]
            assert numbers == sorted(set(numbers))
            assert (viewer.event_counts["log_gap"] > 0) == (len(numbers) < 610)
        status, error = await second.get("/api/jobs/lantern/logs?tail_lines=1000")
        assert (status, error["code"]) == (501, "not_available_on_edge")
        assert "Fewer than 1000 lines" in error["detail"]
        # A viewer whose position was trimmed gets a gap.
        async with second.open_viewer(
            "/api/jobs/lantern/logs", last_event_id=viewer.events[0].event_id
        ) as late:
            await wait_until(lambda: late.event_counts["log"] > 90)
            assert late.event_data("log_gap")[0]["reason"] == "rotated_away"
            assert late.event_data("log")[-1]["line"] == "line 1800"
        async with first.open_viewer(
            "/api/jobs/lantern/logs", last_event_id=viewer.events[0].event_id
        ) as there:
            await there.wait_for("log", 609)


async def test_published_reason_is_an_error_that_names_the_source(redis: RedisServer) -> None:
    client = make_client(redis.url, None)
    source = RelayedSource(client, OAK, ReadPacing.for_sources(1), prefix="", on_status=Mock())
    key = OAK.unavailable("log", "lantern")
    await redis.call("SET", key, '{"code": "log_not_found", "detail": "It has no log."}')
    with pytest.raises(LogNotFoundError) as caught:
        await source.wait_until_published("log", "lantern", AsyncMock(return_value=None))
    assert (str(caught.value), caught.value.detail) == ("oak: It has no log.", "It has no log.")
    await redis.call("SET", key, "{}")
    with pytest.raises(StateUnavailableError, match="oak publishes an invalid reason"):
        await source.wait_until_published("log", "lantern", AsyncMock(return_value=None))
    await close_connections(client)
