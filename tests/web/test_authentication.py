"""Requests with and without a token, and what a restricted token shows."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.web.app_keys import AUTHENTICATOR, STREAM_REGISTRY
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_until
from tests.web.conftest import BEARER, NARROWED, WHOLE, Start, read_error_code


@pytest.mark.parametrize("path", ["/api/jobs", "/ready", "/openapi.json", "/api/jobs/a", "/none"])
async def test_request_without_token_is_rejected(start: Start, path: str) -> None:
    client = await start()
    async with client.get(path) as response:
        assert await read_error_code(response) == (401, "unauthenticated")
        assert response.headers["WWW-Authenticate"] == "Bearer"
    async with client.get(path, headers={"Authorization": f"Bearer {WHOLE}x"}) as response:
        assert await read_error_code(response) == (401, "invalid_token")
    async with client.get(path, headers={"Authorization": "Basic YTpi"}) as response:
        assert await read_error_code(response) == (401, "unauthenticated")


async def test_event_source_without_access_is_refused_for_good(start: Start) -> None:
    client = await start()
    async with client.get("/api/roster/stream", headers={"Accept": "text/event-stream"}) as answer:
        assert answer.status == 401


async def test_public_paths_need_no_token(start: Start) -> None:
    client = await start(public_ready=True)
    for path in ("/health", "/ready", f"/static/{16 * '0'}/css/sign_in.css"):
        async with client.get(path) as response:
            assert response.status in (200, 503)


async def test_restricted_token_sees_only_its_jobs(
    start: Start, conductor: SimulatedConductor
) -> None:
    for name in ("nightly-1", "secret"):
        conductor.launch(name, 2)
    client = await start()
    async with client.get("/api/jobs", headers=NARROWED) as response:
        page = await response.json()
        assert ([job["job_id"] for job in page["jobs"]], page["total"]) == (["nightly-1"], 1)
    for path in ("", "/status", "/stream", "/events", "/logs", "/logs/raw", "/logs/lines"):
        async with client.get(f"/api/jobs/secret{path}", headers=NARROWED) as response:
            assert await read_error_code(response) == (404, "job_not_found")
    async with client.get("/api/jobs/nightly-1", headers=NARROWED) as response:
        assert response.status == 200


async def test_stream_of_restricted_token_has_only_its_jobs(
    start: Start, conductor: SimulatedConductor
) -> None:
    for name in ("nightly-1", "secret"):
        conductor.launch(name, 3)
    client = await start()
    session = aiohttp.ClientSession(headers=NARROWED)
    url = str(client.make_url("/api/roster/stream?poll_interval=0.1"))
    events = str(client.make_url("/api/events/stream"))
    async with session, open_viewer(session, url) as roster, open_viewer(session, events) as viewer:
        await roster.wait_for("roster")
        await wait_until(lambda: '"live":true' in viewer.raw.decode())
        for name in ("secret", "", "nightly-1"):
            conductor.emit(name, "sheet.said", {"text": f"of {name}"})
        conductor.complete_sheet("secret", 1)
        await asyncio.sleep(0.3)
        conductor.complete_sheet("nightly-1", 1)
        await roster.wait_for("roster", 2)
        await viewer.wait_for("sheet.said")
        assert b"secret" not in roster.raw + viewer.raw
        assert viewer.event_counts["sheet.said"] == 1


async def test_hooks_for_restricted_token_have_no_text(
    start: Start, conductor: SimulatedConductor
) -> None:
    conductor.launch("nightly-1", 1)
    checkpoint = conductor.jobs["nightly-1"].checkpoint
    assert checkpoint is not None
    hook = {
        "hook_type": "run_job",
        "success": False,
        "description": "Start secret",
        "error_message": "/srv/secret.yaml: exit 1",
        "chained_job_id": "secret",
    }
    checkpoint["hook_results"] = [hook]
    client = await start()
    for path in ("/api/jobs/nightly-1", "/api/jobs/nightly-1/status"):
        async with client.get(path, headers=BEARER) as response:
            assert (await response.json())["hooks"] == [hook]
        async with client.get(path, headers=NARROWED) as response:
            assert (await response.json())["hooks"] == [{"hook_type": "run_job", "success": False}]
    url = str(client.make_url("/api/jobs/nightly-1/stream"))
    for headers, is_shown in ((BEARER, True), (NARROWED, False)):
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            open_viewer(session, url) as viewer,
        ):
            await viewer.wait_for("job_sheets")
            assert (b"secret" in viewer.raw) == is_shown


async def test_removed_token_ends_its_streams(
    start: Start, conductor: SimulatedConductor, token_file: Path
) -> None:
    conductor.launch("nightly-1", 1)
    client = await start()
    url = str(client.make_url("/api/roster/stream"))
    async with (
        aiohttp.ClientSession(headers=NARROWED) as narrow,
        aiohttp.ClientSession(headers=BEARER) as whole,
        open_viewer(narrow, url) as ends,
        open_viewer(whole, url) as stays,
    ):
        await ends.wait_for("roster")
        await stays.wait_for("roster")
        token_file.write_text(f"{WHOLE}\n")
        authenticator = client.app[AUTHENTICATOR] if client.app is not None else None
        assert authenticator is not None
        authenticator.reload()
        await ends.wait_ended(timeout_s=5)
        assert not stays.has_ended
        async with narrow.get(url) as response:
            assert response.status == 401


async def test_revoked_stream_of_stalled_client_is_aborted(
    start: Start, conductor: SimulatedConductor, token_file: Path
) -> None:
    conductor.launch("nightly-1", 1)
    client = await start()
    app = client.app
    assert app is not None
    streams, authenticator = app[STREAM_REGISTRY], app[AUTHENTICATOR]
    assert authenticator is not None
    async with client.get("/api/events/stream", headers=NARROWED) as response:
        assert response.status == 200
        for _ in range(400):
            conductor.emit("nightly-1", "sheet.said", {"text": "x" * 50_000})
            await asyncio.sleep(0.001)
        await wait_until(lambda: any(stream.unsent_bytes for stream in streams))
        token_file.write_text(f"{WHOLE}\n")
        authenticator.reload()
        await wait_until(lambda: not len(streams), timeout_s=10)
        assert streams.statistics().closed["revoked"] == 1
