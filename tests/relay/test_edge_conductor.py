"""Information about a conductor and its jobs, on an edge."""

import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.jobs import conductor_poller
from marianne_stream.relay.schema import MAX_STATUS_BYTES, decode_state, decode_status
from marianne_stream.web.app_keys import JOB_HUB
from tests.relay.conftest import JOB, KEYS, StartRelay
from tests.support.prometheus import parse_samples
from tests.support.redis_server import RedisServer
from tests.support.relay_servers import RelayServer, run_edge, run_origin
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_for_value, wait_until

BOTH = ("oak", "elm")

# What only an origin has: addresses below a job's.
ORIGIN_ONLY = ("runs", "runs/latest", "events/list", "sheets/1", "sheets/1?run=latest")


@pytest.fixture(autouse=True)
def read_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conductor_poller, "READ_INTERVAL_S", 0.2)


async def wait_conductor(site: RelayServer, **options: Any) -> dict[str, Any]:
    """Wait until a server knows a conductor, and return the information about it."""
    return await wait_for_status(site, "/api/conductor", **options)


async def wait_for_status(
    site: RelayServer, path: str, status: int = 200, **options: Any
) -> dict[str, Any]:
    """Wait until a server answers with a status, and return the response."""
    _, found = await wait_for_value(
        lambda: site.get(path, **options), lambda answer: answer[0] == status
    )
    data: dict[str, Any] = found
    return data


async def test_conductor_on_edge_equals_that_on_origin(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor
) -> None:
    conductor.launch("lantern", 2)
    conductor.pause("lantern")
    conductor.daemon.rate_limits_until = {"claude": time.time() + 60.0}
    async with run_origin(tmp_path, redis) as first, run_edge(redis) as second:
        await second.wait_live("lantern")
        here, there = await wait_conductor(second), await wait_conductor(first)
        varying = {"memory_mb", "host_memory_available_mb", "load_averages"}
        assert set(here) == set(there)
        # No client of the edge watches the job.
        assert there["waiting"][0]["waiting"].pop("since")
        assert [here[name] for name in sorted(set(here) - varying)] == [
            there[name] for name in sorted(set(there) - varying)
        ]
        assert [job["job_id"] for job in here["waiting"]] == ["lantern"]
        async with second.open_viewer("/api/roster/stream") as viewer:
            assert (await viewer.wait_for("conductor"))["version"] == here["version"]
            conductor.daemon.rate_limits_until = {}
            await wait_until(lambda: viewer.event_data("conductor")[-1]["rate_limits"] == [])


async def test_conductors_of_several_sources_have_an_event_and_an_address_each(
    tmp_path: Path, redis: RedisServer
) -> None:
    (tokens := tmp_path / "tokens").write_text(f"{'a' * 32} oak:*\n")
    tokens.chmod(0o600)
    headers = {"Authorization": f"Bearer {'a' * 32}"}
    for name in BOTH:
        (tmp_path / name).mkdir()
    oak, elm = (SimulatedConductor(tmp_path / n / "c.sock", shutdown_grace_s=0) for n in BOTH)
    elm.daemon.pressure_level = "high"
    for conductor in (oak, elm):
        await conductor.start()
        conductor.launch("rests", 2)
        conductor.pause("rests")
    async with (
        run_origin(tmp_path / "oak", redis, "oak"),
        run_origin(tmp_path / "elm", redis, "elm"),
        run_edge(redis, sources=BOTH) as edge,
        run_edge(redis, sources=BOTH, no_auth=False, token_file=tokens) as guarded,
    ):
        await edge.wait_live("oak:rests", "elm:rests")
        data = await wait_conductor(edge, params={"source": "elm"})
        assert (data["source_name"], data["pressure_level"]) == ("elm", "high")
        assert [job["job_id"] for job in data["waiting"]] == ["elm:rests"]
        for query in ("", "?source=ash", "?source="):
            status, error = await edge.get(f"/api/conductor{query}")
            assert (status, error["code"]) == (400, "bad_parameter")
            assert "one of elm, oak" in error["detail"]
        async with edge.open_viewer("/api/roster/stream") as viewer:
            await viewer.wait_for("conductor", 2)
        assert {each["source_name"] for each in viewer.event_data("conductor")} == set(BOTH)
        samples = parse_samples((await edge.get("/metrics"))[1])
        pressure = "marianne_stream_conductor_pressure_level"
        assert [samples[f"{pressure}{{source={name}}}"] for name in BOTH] == [0, 3]
        narrow = await wait_conductor(guarded, params={"source": "oak"}, headers=headers)
        assert set(narrow) == {"source_name", "version", "limits", "waiting"}
        status, error = await guarded.get("/api/conductor?source=elm", headers=headers)
        assert status == 400
        assert "one of oak, got" in error["detail"]
        session = aiohttp.ClientSession(headers=headers)
        async with session, open_viewer(session, f"{guarded.url}/api/roster/stream") as viewer:
            await viewer.wait_for("roster")
            await viewer.wait_for("conductor")
            assert {each["source_name"] for each in viewer.event_data("conductor")} == {"oak"}
    for conductor in (oak, elm):
        await conductor.kill()


async def test_conductor_on_edge_without_origin_is_503(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor
) -> None:
    async with run_edge(redis) as edge:
        assert (await edge.get("/api/conductor"))[0] == 503
        async with run_origin(tmp_path, redis):
            await wait_conductor(edge)
        await wait_for_status(edge, "/api/conductor", 503)


async def test_status_with_most_rate_limits_is_small_enough(
    redis: RedisServer, conductor: SimulatedConductor, start_relay: StartRelay
) -> None:
    names = [f'"\\{number:02}{"x" * 75}' for number in range(50)]
    conductor.daemon.rate_limits_until = dict.fromkeys(names, time.time() + 600.0)
    path = f"/{'p' * 1900}"
    async with start_relay(public_url=f"https://{'o' * 60}.example.org{path}", root_path=path):

        async def read_limits() -> tuple[int, int]:
            data = await redis.client.get(KEYS.status) or b"{}"
            conductor = decode_status(data).conductor if len(data) > 2 else None
            return len(data), len(conductor.rate_limits or ()) if conductor is not None else 0

        size_bytes, count = await wait_for_value(read_limits, lambda found: found[1])
    assert count == 20
    assert size_bytes < MAX_STATUS_BYTES


async def test_stalled_sheet_is_published_and_times_alone_are_not(
    redis: RedisServer, conductor: SimulatedConductor, start_relay: StartRelay, log_path: Path
) -> None:
    async with start_relay(stalled_after_s=30) as app:
        hub = app[JOB_HUB]

        async def read_state() -> Any:
            data = await redis.call("HGET", KEYS.states, JOB)
            return decode_state(data) if data else None

        async def count_changes() -> int:
            entries = await redis.read_stream(KEYS.changes)
            return sum(fields.get(b"k") == b"state" for _, fields in entries)

        await wait_for_value(read_state, lambda found: found)
        conductor.dispatch(JOB, 1)
        state = await wait_for_value(read_state, lambda found: found.current_sheet)
        assert state.progress.times.run
        assert state.progress.last_progress_at is not None
        assert state.score_path is state.workspace is None
        before = await count_changes()
        hub.roster.progress.record_activity(JOB, time.time())
        hub.refresh_job(JOB)
        conductor.emit(JOB, "job.said")
        conductor.launch("mill", 1)
        await wait_for_value(lambda: redis.call("HKEYS", KEYS.states), lambda keys: b"mill" in keys)
        assert await count_changes() == before + 1
        hub.roster.progress.stalled_after_s = 0.001
        hub.update_progress()
        state = await wait_for_value(read_state, lambda found: found.progress.stalled)
        assert state.progress.stalled == (1,)


async def test_job_on_edge_has_the_fields_of_the_origin_and_its_own_id_in_the_command(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor
) -> None:
    conductor.launch("lantern", 2)
    checkpoint = conductor.jobs["lantern"].checkpoint
    assert checkpoint is not None
    checkpoint["hook_results"] = [
        {"hook_type": "run_job", "success": True, "chained_job_id": "next"}
    ]
    checkpoint["total_input_tokens"], checkpoint["total_estimated_cost"] = 1200, 0.25
    conductor.complete_sheet("lantern", 1)
    async with (
        run_origin(tmp_path, redis) as origin,
        run_edge(redis, sources=BOTH) as edge,
    ):
        await wait_for_status(edge, "/api/jobs/oak:lantern")
        conductor.pause("lantern")
        async with edge.open_viewer("/api/jobs/oak:lantern/stream") as viewer:
            here = await viewer.wait_for_status(status="paused")
        _, there = await origin.get("/api/jobs/lantern/status")
        assert here["resume_command"] == there["resume_command"] == "mzt resume lantern"
        assert here["waiting"] == there["waiting"]
        assert (here["run"], here["started_at"]) == (there["run"], there["started_at"])
        assert (here["input_tokens"], here["estimated_cost"]) == (1200, 0.25)
        assert there["hooks"][0]["chained_job_id"] == "next"
        assert here["hooks"][0]["chained_job_id"] == "oak:next"
        assert "workspace" in there
        assert not {"workspace", "score_path"} & set(here)


@pytest.mark.parametrize("public_url", ["https://oak.example.org/base/", None])
async def test_history_on_edge_is_redirected_to_the_origin(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor, public_url: str | None
) -> None:
    conductor.launch("lantern", 2)
    # The path of the edge's own proxy is in no request, and in no redirect to the origin.
    async with (
        run_origin(tmp_path, redis, public_url=public_url, root_path="/base" if public_url else ""),
        run_edge(redis, root_path="/edge") as edge,
    ):
        await edge.wait_live("lantern")
        since = "/api/summary?since=2026-11-28T00:00:00Z"
        for path in (*(f"/api/jobs/lantern/{place}" for place in ORIGIN_ONLY), since):
            status, answer = await edge.get(path)
            if public_url is None:
                assert (status, answer["code"]) == (501, "not_available_on_edge"), path
            else:
                assert (status, answer) == (307, public_url.rstrip("/") + path)


async def test_history_on_edge_of_two_sources_is_redirected_by_job(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor
) -> None:
    conductor.launch("lantern", 2)
    there = "https://oak.example.org"
    async with run_origin(tmp_path, redis, public_url=there), run_edge(redis, sources=BOTH) as edge:
        await wait_for_status(edge, "/api/jobs/oak:lantern")
        for place in ORIGIN_ONLY:
            answer = await edge.get(f"/api/jobs/oak:lantern/{place}")
            assert answer == (307, f"{there}/api/jobs/lantern/{place}")
        # No origin has the summary of both.
        status, error = await edge.get("/api/summary?since=2026-11-28T00:00:00Z")
        assert (status, error["code"]) == (501, "not_available_on_edge")


async def test_end_of_a_rate_limit_that_only_the_conductor_knows_reaches_an_edge(
    tmp_path: Path, redis: RedisServer, conductor: SimulatedConductor
) -> None:
    conductor.launch("lantern", 2)
    conductor.dispatch("lantern", 1)
    conductor.limit_rate("lantern", 1, 600.0)
    async with run_origin(tmp_path, redis), run_edge(redis, sources=BOTH) as edge:
        await wait_for_status(edge, "/api/jobs/oak:lantern")
        async with edge.open_viewer("/api/jobs/oak:lantern/stream") as viewer:
            await wait_until(
                lambda: any("until" in job["waiting"] for job in viewer.event_data("job_status"))
            )
