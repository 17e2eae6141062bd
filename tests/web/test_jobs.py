"""Jobs as JSON: the roster in pages, one job, and errors."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse

from marianne_stream.app import create_app
from marianne_stream.conductor.client import ConductorClient
from marianne_stream.config.settings import Settings
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.web.conftest import Client, OpenStream, Start

ERROR_FIELDS = {"detail", "code"}


@asynccontextmanager
async def open_json(
    client: Client, path: str, status: int = 200, **options: Any
) -> AsyncIterator[ClientResponse]:
    """Check the status of a response, and that it contains no path of the host."""
    async with client.get(path, **options) as response:
        assert response.status == status
        assert "/tmp" not in await response.text()
        yield response


async def get_json(client: Client, path: str, status: int = 200, **options: Any) -> Any:
    async with open_json(client, path, status, **options) as response:
        assert response.content_type == "application/json"
        return await response.json()


async def get_error(client: Client, path: str, status: int, code: str) -> str:
    """Check the code of an error, and return its detail."""
    error = await get_json(client, path, status)
    assert set(error) == ERROR_FIELDS
    assert error["code"] == code
    detail: str = error["detail"]
    return detail


async def test_job_list_is_newest_first(conductor: SimulatedConductor, client: Client) -> None:
    for job_id in ("first", "second", "third"):
        conductor.launch(job_id, 4)
    conductor.complete_sheet("second", 1)
    page = await get_json(client, "/api/jobs")
    assert [job["job_id"] for job in page["jobs"]] == ["third", "second", "first"]
    assert (page["total"], page["next"]) == (3, None)
    second = page["jobs"][1]
    assert set(second) == {
        "job_id",
        "status",
        "submitted_at",
        "started_at",
        "completed_at",
        "completed_sheets",
        "total_sheets",
        "current_sheet",
        "updated_at",
        "last_progress_at",
    }
    assert (second["completed_sheets"], second["total_sheets"]) == (1, 4)
    assert second["submitted_at"].endswith("Z")


async def test_job_pages_hold_each_job_once(conductor: SimulatedConductor, client: Client) -> None:
    for number in range(7):
        conductor.launch(f"job-{number}", 1)
    found: list[str] = []
    params = {"limit": "3"}
    while True:
        page = await get_json(client, "/api/jobs", params=params)
        found += [job["job_id"] for job in page["jobs"]]
        assert page["total"] == 7
        if page["next"] is None:
            break
        params["after"] = page["next"]
    assert found == [f"job-{number}" for number in reversed(range(7))]


async def test_job_list_filters_by_status_and_name(
    conductor: SimulatedConductor, client: Client
) -> None:
    for job_id in ("Nightly-1", "nightly-2", "weekly"):
        conductor.launch(job_id, 1)
    conductor.pause("nightly-2")
    by_name = await get_json(client, "/api/jobs", params={"name": "NIGHT"})
    assert [job["job_id"] for job in by_name["jobs"]] == ["nightly-2", "Nightly-1"]
    by_both = await get_json(client, "/api/jobs", params={"name": "night", "status": "paused"})
    assert ([job["job_id"] for job in by_both["jobs"]], by_both["total"]) == (["nightly-2"], 1)


async def test_job_detail_has_sheets(conductor: SimulatedConductor, client: Client) -> None:
    conductor.launch("a", 2)
    conductor.fail_sheet("a", 2, "Exit code 1")
    job = await get_json(client, "/api/jobs/a")
    assert job["job_id"] == "a"
    assert job["source"] == "conductor"
    assert [sheet["number"] for sheet in job["sheets"]] == [1, 2]
    assert job["sheets"][1] == {
        "number": 2,
        "status": "failed",
        "instrument_name": "cli",
        "movement": job["sheets"][1]["movement"],
        "error_message": "Exit code 1",
        "error_code": "E999",
        "attempt": 1,
    }


async def test_job_status_equals_stream_event(
    conductor: SimulatedConductor, client: Client
) -> None:
    conductor.launch("a", 3)
    conductor.complete_sheet("a", 1)
    conductor.dispatch("a", 2)
    status = await get_json(client, "/api/jobs/a/status")
    assert status.pop("updated_at").endswith("Z")
    assert status.pop("last_progress_at") is None
    assert status.pop("started_at").endswith("Z")
    assert re.fullmatch(r"[0-9-]{10}T[0-9:]{8}Z", status.pop("run"))
    assert status.pop("workspace")
    assert status == {
        "job_id": "a",
        "status": "running",
        "progress_percent": 33.3,
        "completed_sheets": 1,
        "total_sheets": 3,
        "current_sheet": 2,
        "error_message": None,
        "waited_s": 0.0,
    }


@pytest.mark.parametrize("path", ["", "/status", "/stream", "/events"])
async def test_unknown_job_is_not_found(
    conductor: SimulatedConductor, client: Client, path: str
) -> None:
    del conductor
    detail = await get_error(client, f"/api/jobs/no%20such{path}", 404, "job_not_found")
    assert detail == "Score not found: no such"


@pytest.mark.parametrize("segment", ["a%2Fb", "a%00b", "..%2F..%2Fetc%2Fpasswd"])
async def test_invalid_job_id_is_rejected(
    conductor: SimulatedConductor, client: Client, segment: str
) -> None:
    del conductor
    detail = await get_error(client, f"/api/jobs/{segment}/status", 400, "bad_request")
    assert "neither / nor NUL" in detail


BAD_PARAMETERS = {
    "/api/jobs?limit=0": "limit must be between 1 and 1000",
    "/api/jobs?limit=1001": "limit must be between 1 and 1000",
    "/api/jobs?limit=x": "limit must be an integer, got 'x'",
    "/api/jobs?limit=1.5": "limit must be an integer, got '1.5'",
    "/api/jobs?limit=1_0": "limit must be an integer, got '1_0'",
    "/api/jobs?limit=1&limit=2": "limit must be given once, got it 2 times",
    "/api/jobs?after=nonsense": "after must be what `next` of a page gave, and is not",
    "/api/jobs?after=" + base64.b64encode(b"[" * 900).decode(): (
        "after must be what `next` of a page gave, and is not"
    ),
    "/api/jobs?after=" + base64.b64encode(b"[1" + b"0" * 400 + b',"a"]').decode(): (
        "after must be what `next` of a page gave, and is not"
    ),
    "/api/jobs?after=" + base64.b64encode(b'[NaN,"a"]').decode(): (
        "after must be what `next` of a page gave, and is not"
    ),
    "/api/jobs?after=é": "after must be what `next` of a page gave, and is not",
    "/api/jobs/a/stream?poll_interval=0.05": ("Poll interval must be between 0.1 and 30.0 seconds"),
    "/api/jobs/a/stream?poll_interval=31": "Poll interval must be between 0.1 and 30.0 seconds",
    "/api/jobs/a/stream?poll_interval=nan": "poll_interval must be a number, got 'nan'",
    "/api/jobs/a/stream?poll_interval=": "poll_interval must be a number, got ''",
    "/api/jobs/a/stream?poll_interval=1e999": (
        "Poll interval must be between 0.1 and 30.0 seconds"
    ),
    "/api/jobs/a/stream?last_event_id=1&last_event_id=2": (
        "last_event_id must be given once, got it 2 times"
    ),
    "/api/jobs/a/events?limit=201": "limit must be between 0 and 200",
    "/api/events/stream?limit=-1": "limit must be between 0 and 200",
    "/api/roster/stream?poll_interval=0": "Poll interval must be between 0.1 and 30.0 seconds",
}


@pytest.mark.parametrize("path", BAD_PARAMETERS)
async def test_invalid_parameter_error_names_its_range(
    conductor: SimulatedConductor, client: Client, path: str
) -> None:
    conductor.launch("a", 1)
    assert await get_error(client, path, 400, "bad_parameter") == BAD_PARAMETERS[path]
    assert conductor.statistics.requests["job.status"] == 0


async def test_unknown_path_and_method_errors_are_json(
    conductor: SimulatedConductor, client: Client
) -> None:
    del conductor
    await get_error(client, "/api/nothing", 404, "not_found")
    async with client.post("/api/jobs") as response:
        assert response.status == 405
        assert (await response.json())["code"] == "method_not_allowed"
        assert response.headers["Allow"] == "GET,HEAD"
        assert "allowed is: GET,HEAD" in (await response.json())["detail"]
    async with client.head("/api/jobs") as response:
        assert response.status == 200
    async with client.head("/api/events/stream") as response:
        assert response.status == 405


async def test_job_without_any_backend_is_503_not_404(client: Client) -> None:
    for path in ("/api/jobs", "/api/jobs/a", "/api/jobs/a/status", "/api/jobs/a/stream"):
        async with open_json(client, path, 503) as response:
            assert response.headers["Retry-After"] == "5"
            assert response.headers["Cache-Control"] == "private, no-store"
            assert (await response.json())["code"] == "state_unavailable"


async def test_transient_error_asks_event_source_to_reconnect(client: Client) -> None:
    accept = {"Accept": "text/event-stream"}
    for path in ("/api/jobs/a/stream", "/api/roster/stream", "/api/jobs/a/events"):
        async with open_json(client, path, 200, headers=accept) as response:
            assert response.content_type == "text/event-stream"
            body = await response.text()
        assert body.startswith("retry: ")
        assert "data:" not in body


async def test_permanent_error_is_sent_to_event_source_as_status(
    conductor: SimulatedConductor, client: Client
) -> None:
    del conductor
    accept = {"Accept": "text/event-stream"}
    async with open_json(client, "/api/jobs/a/stream", 404, headers=accept):
        pass
    async with open_json(client, "/api/jobs/a/stream?poll_interval=9999", 400, headers=accept):
        pass


async def test_jobs_without_conductor_come_from_registry(
    conductor: SimulatedConductor, client: Client
) -> None:
    conductor.launch("a", 2)
    await conductor.flush()
    await conductor.kill()
    page = await get_json(client, "/api/jobs")
    assert [job["job_id"] for job in page["jobs"]] == ["a"]
    job = await get_json(client, "/api/jobs/a")
    assert (job["source"], job["live"]) == ("registry", False)
    # The registry cannot know of a job that the conductor has just taken in.
    await get_error(client, "/api/jobs/b", 503, "state_unavailable")


@pytest.mark.parametrize("method", ["job.status", "job.list"])
async def test_jobs_of_malformed_conductor_come_from_registry(
    conductor: SimulatedConductor, client: Client, method: str
) -> None:
    conductor.launch("a", 2)
    await conductor.flush()
    for nonsense in (b"nonsense\n", b'{"jsonrpc":"2.0","id":null,"result":7}\n'):
        conductor.faults.raw_responses[method] = nonsense
        conductor.faults.close_after.add(method)
        assert (await get_json(client, "/api/jobs/a"))["job_id"] == "a"
    del conductor.faults.raw_responses[method]
    conductor.faults.close_after.clear()
    assert (await get_json(client, "/api/jobs/a"))["job_id"] == "a"


async def test_hanging_conductor_delays_response_by_call_timeout_at_most(
    conductor: SimulatedConductor,
    settings: Settings,
    aiohttp_client: Callable[..., Awaitable[Client]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    impatient = partial(ConductorClient, slow_after_s=0.1, call_timeout_s=0.3)
    monkeypatch.setattr("marianne_stream.components.ConductorClient", impatient)
    conductor.launch("a", 2)
    await conductor.flush()
    client = await aiohttp_client(create_app(settings))
    for method in ("job.list", "job.status", "daemon.health"):
        conductor.faults.unanswered.add(method)
    async with asyncio.timeout(3):
        for path in ("/ready", "/api/jobs/a/status", "/ready", "/api/jobs/a"):
            await get_json(client, path)


async def test_job_detail_is_current_despite_slow_poll_interval(
    conductor: SimulatedConductor, client: Client, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    async with open_stream("/api/jobs/a/stream", poll_interval="30.0") as viewer:
        await viewer.wait_for("job_sheets")
        conductor.pause("a")
        await asyncio.sleep(1.1)
        assert (await get_json(client, "/api/jobs/a/status"))["status"] == "paused"


async def test_unreadable_roster_entry_hides_no_other(
    conductor: SimulatedConductor, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = [
        {"job_id": "a", "status": "running", "progress_completed": 5, "progress_total": 4},
        {"job_id": "b", "status": None},
        {"job_id": "c", "status": "running", "progress_completed": -1},
        {"job_id": "d", "status": "queued", "submitted_at": 1e300},
        7,
    ]
    answer = {"jsonrpc": "2.0", "result": jobs}
    lines = [json.dumps({**answer, "id": number}) + "\n" for number in range(100)]
    conductor.faults.raw_responses["job.list"] = "".join(lines).encode()
    page = await get_json(client, "/api/jobs")
    assert {job["job_id"] for job in page["jobs"]} == {"a", "d"}
    assert caplog.text.count("roster entries skipped") == 1


async def test_unusual_job_name_keeps_job_list_complete(
    conductor: SimulatedConductor, client: Client
) -> None:
    conductor.launch("caf\udce9", 1)
    conductor.launch("plain", 1)
    page = await get_json(client, "/api/jobs")
    assert {job["job_id"] for job in page["jobs"]} == {"plain", r"caf\xe9"}
    assert (await get_json(client, "/api/jobs/caf%E9"))["job_id"] == r"caf\xe9"


async def test_state_of_eight_megabytes_is_served(
    conductor: SimulatedConductor, client: Client
) -> None:
    conductor.launch("a", 10)
    for kind in ("strings", "values"):
        conductor.jobs["a"].pad(8_000_000, kind=kind)
        conductor.touch("a")
        assert len((await get_json(client, "/api/jobs/a"))["sheets"]) == 10


async def test_health_reads_nothing_and_ready_has_reasons(
    conductor: SimulatedConductor, client: Client, tmp_path: Path
) -> None:
    assert await get_json(client, "/ready") == {
        "ready": True,
        "source": "conductor",
        "live": True,
        "reasons": [],
    }
    conductor.launch("a", 1)
    await conductor.flush()
    await conductor.kill()
    ready = await get_json(client, "/ready")
    assert (ready["ready"], ready["source"], len(ready["reasons"])) == (True, "registry", 1)
    (tmp_path / "state.db").unlink()
    await get_json(client, "/health")


async def test_not_ready_is_503_with_reasons(client: Client) -> None:
    ready = await get_json(client, "/ready", 503)
    assert (ready["ready"], ready["source"]) == (False, "none")
    assert len(ready["reasons"]) == 1
    assert await get_json(client, "/health") == {"status": "ok"}


@pytest.mark.parametrize(
    ("socket", "command"),
    [
        ("c.sock", "mzt resume a"),
        ("marianne-clone.sock", "mzt --conductor-clone= resume a"),
        ("marianne-clone-night.sock", "mzt --conductor-clone=night resume a"),
    ],
)
async def test_resume_command_reaches_the_conductor_of_the_job(
    settings: Settings, tmp_path: Path, aiohttp_client: Start, socket: str, command: str
) -> None:
    conductor = SimulatedConductor(tmp_path / socket, shutdown_grace_s=0)
    await conductor.start()
    conductor.launch("a", 1)
    conductor.pause("a")
    update = {"conductor_socket": conductor.socket_path}
    client = await aiohttp_client(create_app(settings.model_copy(update=update)))
    assert (await get_json(client, "/api/jobs/a"))["resume_command"] == command
    await conductor.kill()
