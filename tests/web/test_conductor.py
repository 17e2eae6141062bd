"""Information about the conductor: `GET /api/conductor` and the `conductor` event."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from marianne_stream.app import create_app
from marianne_stream.config.settings import Settings
from marianne_stream.demo import rpc_messages
from marianne_stream.demo.rpc_messages import RpcErrorResult
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.jobs import conductor_poller
from marianne_stream.models import format_iso_time
from tests.support.viewers import Viewer, open_viewer
from tests.support.waiting import wait_until
from tests.web.conftest import BEARER, NARROWED, Client, OpenStream, Start

ROSTER = "/api/roster/stream"
QUICK = {"poll_interval": "0.1"}
DETAILS = {**QUICK, "details": "true"}

# Methods that only the conductor's own information needs.
METHODS = ("daemon.status", "daemon.ready", "daemon.top", "daemon.rate_limits")


@pytest.fixture
def read_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conductor_poller, "READ_INTERVAL_S", 0.2)


async def get_conductor(client: Client, status: int = 200, **options: Any) -> dict[str, Any]:
    async with client.get("/api/conductor", **options) as response:
        data: dict[str, Any] = await response.json()
        assert response.status == status, data
        return data


def answer_strangely(conductor: SimulatedConductor, method: str, result: object) -> None:
    """Let a method of a conductor answer with another result."""
    answer = conductor.answer

    def other(method_name: str, params: Mapping[str, object]) -> object:
        return result if method_name == method else answer(method_name, params)

    setattr(conductor, "answer", other)  # noqa: B010 - a method


async def test_conductor_has_version_limits_load_and_waiting_jobs(
    conductor: SimulatedConductor, client: Client
) -> None:
    conductor.daemon.rate_limits_until = {"claude": time.time() + 60.0, "over": time.time() - 1.0}
    conductor.daemon.pressure_level = "low"
    conductor.launch("runs", 2)
    conductor.launch("rests", 2)
    conductor.pause("rests")
    data = await get_conductor(client)
    assert data["version"] == "0.1.0"
    assert data["limits"] == {
        "connections": 5,
        "max_concurrent_jobs": 15,
        "max_concurrent_sheets": 25,
    }
    assert (data["accepting_work"], data["shutting_down"], data["running_jobs"]) == (True, False, 1)
    assert data["pressure_level"] == "low"
    (limit,) = data["rate_limits"]
    assert limit["instrument"] == "claude"
    assert limit["until"] > (format_iso_time(time.time() + 50.0) or "")
    assert len(data["load_averages"]) == 3
    assert 0 < data["host_memory_available_mb"] < data["host_memory_total_mb"]
    assert data["memory_mb"] > 0
    assert data["started_at"] <= (format_iso_time(time.time()) or "")
    assert [(job["job_id"], job["waiting"]["code"]) for job in data["waiting"]] == [
        ("rests", "paused")
    ]


async def test_conductor_is_read_in_one_visit_and_once_in_ten_seconds(
    conductor: SimulatedConductor, settings: Settings, aiohttp_client: Start
) -> None:
    visits = settings.model_copy(update={"conductor_events": "visits"})
    client = await aiohttp_client(create_app(visits))
    for _ in range(3):
        await get_conductor(client)
    requests = conductor.statistics.requests
    assert [requests[method] for method in METHODS] == [1] * len(METHODS)
    assert requests["daemon.health"] == conductor.statistics.connections_peak == 1


async def test_conductor_is_not_read_without_roster_stream(
    conductor: SimulatedConductor, client: Client, open_stream: OpenStream, read_often: None
) -> None:
    conductor.launch("a", 1)
    requests = conductor.statistics.requests
    async with client.get("/api/jobs") as response:
        assert response.status == 200
    async with open_stream("/api/jobs/a/stream") as viewer:
        await viewer.wait_for("job_sheets")
    assert requests["daemon.top"] == 0
    async with open_stream(ROSTER, **QUICK) as viewer:
        await viewer.wait_for("conductor")
        await wait_until(lambda: requests["daemon.top"] >= 3)


async def test_roster_stream_has_conductor_before_roster_and_after_resume(
    conductor: SimulatedConductor, open_stream: OpenStream
) -> None:
    conductor.launch("a", 1)
    async with open_stream(ROSTER, **QUICK) as viewer:
        await viewer.wait_for("roster")
    assert viewer.event_names[:3] == ["source", "conductor", "roster"]
    cursor = viewer.events[2].event_id
    assert viewer.events[1].event_id in ("", None)
    async with open_stream(ROSTER, **QUICK, last_event_id=cursor) as viewer:
        await viewer.wait_for("conductor")
    assert viewer.event_names[:2] == ["source", "conductor"]
    assert viewer.event_counts["roster"] == 0


async def test_conductor_event_follows_changes_but_not_memory_or_load(
    conductor: SimulatedConductor, open_stream: OpenStream, read_often: None
) -> None:
    requests = conductor.statistics.requests
    async with open_stream(ROSTER, **QUICK) as viewer:
        await viewer.wait_for("conductor")
        # Load averages and uptime change, and nothing else.
        seen = requests["daemon.rate_limits"]
        await wait_until(lambda: requests["daemon.rate_limits"] >= seen + 6)
        assert viewer.event_counts["conductor"] == 1
        conductor.daemon.rate_limits_until = {"claude": time.time() + 60.0}
        changed = await viewer.wait_for("conductor", 2)
        assert [limit["instrument"] for limit in changed["rate_limits"]] == ["claude"]
        seen = requests["daemon.rate_limits"]
        await wait_until(lambda: requests["daemon.rate_limits"] >= seen + 6)
        assert viewer.event_counts["conductor"] == 2
        assert viewer.event_counts["roster"] == 1


async def test_conductor_event_names_jobs_that_wait(
    conductor: SimulatedConductor, open_stream: OpenStream, read_often: None
) -> None:
    conductor.launch("a", 2)

    def waits(viewer: Viewer) -> list[tuple[str, str]]:
        newest = viewer.event_data("conductor")[-1]
        return [(job["job_id"], job["waiting"]["code"]) for job in newest["waiting"]]

    async with open_stream(ROSTER, **DETAILS) as viewer:
        await viewer.wait_for("conductor")
        conductor.jobs["a"].sheet(1)["status"] = "fermata"
        conductor.emit("a", "sheet.waits")
        await wait_until(lambda: waits(viewer) == [("a", "person")])
        conductor.complete_sheet("a", 1)
        await wait_until(lambda: waits(viewer) == [])


async def test_wait_for_a_rate_limit_ends_with_that_of_the_instrument(
    conductor: SimulatedConductor, client: Client, open_stream: OpenStream, read_often: None
) -> None:
    limits = conductor.daemon.rate_limits_until
    conductor.launch("a", 2)
    conductor.dispatch("a", 1)
    async with (
        open_stream(ROSTER, **DETAILS) as roster,
        open_stream("/api/jobs/a/stream", **QUICK) as viewer,
    ):
        await viewer.wait_for("job_sheets")
        await roster.wait_for("roster")
        # The end is known to the conductor's limits alone.
        conductor.limit_rate("a", 1, 600.0)
        limits["claude"] = time.time() + 60.0
        for until in (limits["cli"], limits["cli"] + 900.0):
            limits["cli"] = until
            await wait_until(waits_until(viewer, until))
            await wait_until(waits_until(roster, until))
        shown = viewer.event_data("job_status")[-1]["waiting"]
        async with client.get("/api/jobs/a") as response:
            assert (await response.json())["waiting"] == shown
        del limits["cli"]
        await wait_until(waits_until(viewer, None))
        await wait_until(waits_until(roster, None))
    (_, limited, *_) = viewer.event_data("job_sheets")
    assert limited["sheets"][0]["status"] == "waiting"
    assert "waiting_until" not in limited["sheets"][0]


def waits_until(viewer: Viewer, until: float | None) -> Callable[[], bool]:
    """Return a condition: the newest event shows that a job waits until a time."""

    def is_shown() -> bool:
        rosters = [job for data in viewer.event_data("roster") for job in data["jobs"]]
        waiting = [*viewer.event_data("job_status"), *rosters][-1].get("waiting", {})
        if not waiting or until is None or "until" not in waiting:
            return bool(waiting) and (until is None) == ("until" not in waiting)
        # The conductor rounds it.
        return abs(datetime.fromisoformat(waiting["until"]).timestamp() - until) < 3.0

    return is_shown


async def test_conductor_of_restricted_token_has_version_limits_and_its_own_waits(
    conductor: SimulatedConductor, start: Start
) -> None:
    conductor.daemon.rate_limits_until = {"claude": time.time() + 60.0}
    for job_id in ("nightly-1", "secret"):
        conductor.launch(job_id, 1)
        conductor.pause(job_id)
    client = await start()
    whole = await get_conductor(client, headers=BEARER)
    assert {job["job_id"] for job in whole["waiting"]} == {"nightly-1", "secret"}
    narrow = await get_conductor(client, headers=NARROWED)
    assert set(narrow) == {"version", "limits", "waiting"}
    assert [job["job_id"] for job in narrow["waiting"]] == ["nightly-1"]
    session = aiohttp.ClientSession(headers=NARROWED)
    async with session, open_viewer(session, str(client.make_url(ROSTER)), **QUICK) as viewer:
        assert await viewer.wait_for("conductor") == narrow


async def test_conductor_without_methods_has_absent_fields_and_one_log_entry(
    conductor: SimulatedConductor, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    missing = RpcErrorResult(rpc_messages.METHOD_NOT_FOUND, "Method not found")
    for method in ("daemon.ready", "daemon.top", "daemon.rate_limits"):
        answer_strangely(conductor, method, missing)
    data = await get_conductor(client)
    assert set(data) == {
        *("version", "started_at", "running_jobs", "limits", "memory_mb", "waiting")
    }
    assert caplog.text.count("conductor info left out method=daemon.top") == 1


@pytest.mark.parametrize(
    ("method", "result", "absent"),
    [
        ("daemon.status", [1, 2], {"version", "started_at", "running_jobs", "memory_mb"}),
        ("daemon.status", {"version": 1, "uptime_seconds": -1, "running_jobs": 1.5}, {"version"}),
        ("daemon.status", {"version": "x" * 101, "uptime_seconds": "1"}, {"started_at"}),
        ("daemon.top", {"error": "profiler not enabled"}, {"load_averages", "pressure_level"}),
        ("daemon.top", {"pressure_level": "a\nb", "load_avg_1": None}, {"load_averages"}),
        ("daemon.top", {"processes": ["x" * 300_000]}, {"pressure_level"}),
        ("daemon.top", {"system_memory_total_mb": 0.0}, {"host_memory_total_mb"}),
        ("daemon.rate_limits", {"backends": []}, {"rate_limits"}),
        ("daemon.rate_limits", None, {"rate_limits"}),
        ("daemon.config", {"max_concurrent_jobs": "15", "socket": []}, {"limits"}),
    ],
)
async def test_conductor_with_strange_answer_has_absent_fields(
    conductor: SimulatedConductor, client: Client, method: str, result: object, absent: set[str]
) -> None:
    conductor.launch("a", 1)
    answer_strangely(conductor, method, result)
    data = await get_conductor(client)
    assert not absent & set(data)
    assert None not in data.values()
    async with client.get("/api/jobs") as response:
        assert [job["job_id"] for job in (await response.json())["jobs"]] == ["a"]


async def test_strange_fields_are_logged_once(
    conductor: SimulatedConductor,
    open_stream: OpenStream,
    read_often: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    # 0 and a missing field are not strange.
    answer_strangely(conductor, "daemon.top", {"pressure_level": 1, "system_memory_total_mb": 0})
    async with open_stream(ROSTER, **QUICK) as viewer:
        await viewer.wait_for("conductor")
        await wait_until(lambda: conductor.statistics.requests["daemon.top"] >= 4)
    logged = [text for text in caplog.messages if "conductor info left out" in text]
    assert len(logged) == 1
    assert logged[0].startswith("conductor info left out field=pressure_level error=")


async def test_rate_limits_that_are_strange_are_left_out(
    conductor: SimulatedConductor, client: Client
) -> None:
    strange: dict[str, object] = {
        "x" * 81: {"seconds_remaining": 1.0},
        "a\nb": {"seconds_remaining": 1.0},
        "text": {"seconds_remaining": "1"},
        "none": {},
        "negative": {"seconds_remaining": -1},
        "long": {"seconds_remaining": 1e300},
        "nan": {"seconds_remaining": float("nan")},
        "right": {"seconds_remaining": 9.0},
    }
    many: dict[str, object] = {f"z{number:03}": {"seconds_remaining": 5} for number in range(500)}
    answer_strangely(conductor, "daemon.rate_limits", {"backends": strange | many})
    names = [limit["instrument"] for limit in (await get_conductor(client))["rate_limits"]]
    assert names[0] == "right"
    assert len(names) == 20


async def test_conductor_that_is_away_is_503_and_its_event_comes_back(
    conductor: SimulatedConductor, client: Client, open_stream: OpenStream
) -> None:
    conductor.launch("a", 1)
    await conductor.flush()
    async with open_stream(ROSTER, **QUICK) as viewer:
        await viewer.wait_for("conductor")
        await conductor.kill()
        await wait_until(lambda: viewer.event_data("source")[-1]["source"] == "registry")
        error = await get_conductor(client, 503)
        assert error["code"] == "conductor_unreachable"
        async with open_stream(ROSTER, **QUICK) as other:
            await other.wait_for("roster")
            assert other.event_counts["conductor"] == 0
        await conductor.start()
        await viewer.wait_for("conductor", 2)
        await get_conductor(client)


async def test_conductor_of_server_that_reads_files_is_404(
    settings: Settings, aiohttp_client: Start, tmp_path: Path
) -> None:
    for state in ("registry", "json"):
        update = {"state_backend": state, "checkpoint_dir": tmp_path}
        client = await aiohttp_client(create_app(settings.model_copy(update=update)))
        assert (await get_conductor(client, 404))["code"] == "no_conductor"


async def test_source_of_conductor_is_ignored_without_several_sources(
    conductor: SimulatedConductor, client: Client
) -> None:
    del conductor
    data = await get_conductor(client, params={"source": "oak"})
    assert "source_name" not in data
