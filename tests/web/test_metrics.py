"""Metrics, request ids, and log entries of streams."""

import json
import logging
import re
import time
from pathlib import Path

import pytest
from yarl import URL

from marianne_stream.app import create_app
from marianne_stream.config.settings import Settings
from marianne_stream.demo.daemon import Daemon
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.jobs import conductor_poller
from marianne_stream.web.app_keys import JOB_HUB, STREAM_REGISTRY
from marianne_stream.web.sse_response import CLOSE_REASONS
from tests.support.processes import CHECKOUT
from tests.support.prometheus import REFERENCE, documented_metrics, metrics, parse_samples
from tests.support.waiting import wait_for_value, wait_until
from tests.web.conftest import Client, OpenStream, Start


async def get_metrics(client: Client) -> dict[str, float]:
    """Return each sample by its name and labels."""
    async with client.get("/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = await response.text()
    found = parse_samples(text)
    assert all(name.startswith("marianne_stream_") for name in found)
    return found


async def test_metrics_count_streams_frames_and_bytes(
    conductor: SimulatedConductor, client: Client, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    async with (
        open_stream("/api/events/stream") as events,
        open_stream("/api/jobs/a/stream") as status,
    ):
        await status.wait_for("job_sheets")
        await wait_until(lambda: b'"live":true' in events.raw)
        before = await get_metrics(client)
        assert before["marianne_stream_streams_open{kind=events}"] == 1
        assert before["marianne_stream_streams_open{kind=status}"] == 1
        assert before["marianne_stream_monitor_connected{}"] == 1
        assert before["marianne_stream_watched_jobs{}"] == 1
        assert before["marianne_stream_state_source{source=conductor}"] == 1
        for _ in range(5):
            conductor.emit("a", "sheet.said", {"text": "x" * 1000})
        await events.wait_for("sheet.said", 5)
        after = await get_metrics(client)
        sent = "marianne_stream_stream_bytes_sent_total{}"
        assert after[sent] - before[sent] > 5000
        frames = "marianne_stream_stream_events_sent_total{}"
        assert after[frames] - before[frames] == 5
        seen = "marianne_stream_monitor_events_total{}"
        assert after[seen] - before[seen] == 5
    streams = client.app[STREAM_REGISTRY] if client.app is not None else ()
    await wait_until(lambda: not len(streams))
    left = (await get_metrics(client))[
        "marianne_stream_streams_closed_total{reason=client_disconnect}"
    ]
    assert left == 2


async def test_metrics_count_requests_by_route(
    conductor: SimulatedConductor, client: Client
) -> None:
    conductor.launch("a", 1)
    for path in ("/api/jobs/a", "/api/jobs/none", "/nothing"):
        async with client.get(path) as response:
            await response.read()
    found = await get_metrics(client)
    route = "route=/api/jobs/{job_id}"
    assert found[f"marianne_stream_http_requests_total{{method=GET,{route},status=200}}"] == 1
    assert found[f"marianne_stream_http_requests_total{{method=GET,{route},status=404}}"] == 1
    assert found["marianne_stream_http_requests_total{method=GET,route=,status=404}"] == 1
    assert found[f"marianne_stream_http_request_duration_seconds_count{{{route}}}"] == 2


async def test_metrics_count_log_followers(
    log_path: Path, client: Client, open_stream: OpenStream
) -> None:
    async with open_stream("/api/jobs/lantern/logs?wait=true") as viewer:
        log_path.write_text("one line\n")
        await viewer.wait_for("log")
        found = await get_metrics(client)
        assert found["marianne_stream_log_followers{}"] == 1
        with log_path.open("a") as file:
            file.write("x" * 1000 + "\n")
        await viewer.wait_for("log", 2)
        assert (await get_metrics(client))["marianne_stream_log_read_bytes_total{}"] >= 1000


@pytest.mark.parametrize(
    ("given", "taken"),
    [("abc-1.2_3", True), ("", False), ("a b", False), ("x" * 65, False), ("ü", False)],
)
async def test_response_has_request_id(client: Client, given: str, taken: bool) -> None:  # noqa: FBT001 - a case
    async with client.get("/health", headers={"X-Request-ID": given}) as response:
        shown = response.headers["X-Request-ID"]
    assert (shown == given) == taken
    assert 1 <= len(shown) <= 64


async def test_closed_stream_is_logged_once_with_fields(
    log_path: Path, open_stream: OpenStream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    log_path.write_text("one line\n")
    async with open_stream("/api/jobs/lantern/logs?follow=false") as viewer:
        await viewer.wait_ended()
    await wait_until(lambda: "stream closed reason=finished" in caplog.text)
    assert re.search(
        r"stream closed reason=finished duration=\d+\.\ds bytes=\d+ client=127\.0\.0\.1 "
        r"path=/api/jobs/lantern/logs request_id=\w{16}$",
        caplog.text,
        re.MULTILINE,
    )


async def test_log_entry_of_closed_stream_cannot_be_forged(
    conductor: SimulatedConductor, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    conductor.launch("a\n2026-01-01 CRITICAL forged \x1b[31m\x9b", 1)
    path = "/api/jobs/a%0A2026-01-01%20CRITICAL%20forged%20%1B%5B31m%C2%9B/stream"
    async with client.get(URL(path, encoded=True), headers={"X-Request-ID": "one"}) as response:
        assert response.status == 200
    async with client.get(URL(f"/none{path}", encoded=True)) as response:
        assert response.status == 404
    await wait_until(lambda: "reason=client_disconnect" in caplog.text)
    ended = next(line for line in caplog.text.splitlines() if "reason=client_disconnect" in line)
    assert "client=127.0.0.1 path=/api/jobs/a%0A2026" in ended
    assert ended.endswith(" request_id=one")
    for record in caplog.records:
        if record.name.startswith("marianne_stream"):
            assert not {"\n", "\x1b", "\x9b"} & set(record.getMessage())


async def test_grafana_dashboard_queries_existing_metrics(
    conductor: SimulatedConductor, client: Client
) -> None:
    del conductor
    async with client.get("/health"):
        pass
    known = {name.partition("{")[0] for name in await get_metrics(client)}
    board = json.loads((CHECKOUT / "docs/examples/grafana-dashboard.json").read_text())
    asked = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"marianne_stream_\w+", target["expr"])
    }
    assert len(asked) > 15
    assert asked <= known


async def test_reference_lists_all_server_metrics(
    conductor: SimulatedConductor, client: Client
) -> None:
    conductor.daemon.rate_limits_until = {"cli": time.time() + 60.0}
    async with client.get("/health"):
        pass
    async with client.get("/metrics") as response:
        found = metrics(await response.text())
    documented = documented_metrics()
    parts = ("marianne_stream_relay_", "marianne_stream_edge_")
    assert found == {name: documented[name] for name in documented if not name.startswith(parts)}


def test_reference_lists_all_close_reasons() -> None:
    table = REFERENCE.read_text().partition("### Reasons")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(CLOSE_REASONS)


async def test_metrics_count_jobs_and_sheets(
    conductor: SimulatedConductor, client: Client, open_stream: OpenStream
) -> None:
    for job_id in ("a", "b", "rests"):
        conductor.launch(job_id, 3)
    conductor.pause("rests")
    conductor.set_status("b", roster="odd")
    name = "marianne_stream_"
    async with open_stream("/api/jobs/a/stream") as viewer:
        await viewer.wait_for("job_sheets")
        before = await get_metrics(client)
        counted = ("running", "paused", "failed", "other")
        jobs = [before[f"{name}jobs{{status={status}}}"] for status in counted]
        assert jobs == [1, 1, 0, 1]
        for number in (1, 2):
            conductor.dispatch("a", number)
            await viewer.wait_for_status(current_sheet=number)
            conductor.complete_sheet("a", number)
            await viewer.wait_for_status(completed_sheets=number)
        conductor.finish("a", "failed")
        await viewer.wait_for("job_finished")
    after = await get_metrics(client)
    assert after[f"{name}sheets_completed_total{{}}"] == 2
    assert after[f"{name}sheet_duration_seconds_count{{}}"] == 2
    assert after[f"{name}sheet_duration_seconds_bucket{{le=1800.0}}"] == 2
    assert after[f"{name}jobs_failed_total{{}}"] == 1
    assert after[f"{name}jobs{{status=failed}}"] == 1
    assert after[f"{name}jobs_stalled{{}}"] == 0
    assert "rests" not in str(after)


async def test_metrics_count_failed_job_once(
    conductor: SimulatedConductor, client: Client, open_stream: OpenStream
) -> None:
    async def count_failed() -> float:
        return (await get_metrics(client))["marianne_stream_jobs_failed_total{}"]

    conductor.launch("old", 1)
    conductor.finish("old", "failed")
    await conductor.flush()
    async with open_stream("/api/roster/stream", poll_interval="0.1") as viewer:
        await viewer.wait_for("roster")
        assert await count_failed() == 0
        # It is submitted and fails between two rosters.
        conductor.launch("quick", 1)
        conductor.finish("quick", "failed")
        await viewer.wait_for("roster", 2)
        assert await count_failed() == 1
        await conductor.flush()
        await conductor.kill()
        await wait_until(lambda: viewer.event_data("source")[-1]["source"] == "registry")
        await conductor.start()
        await wait_until(lambda: viewer.event_data("source")[-1]["source"] == "conductor")
        assert await count_failed() == 1
        conductor.resume("old")
        conductor.finish("old", "failed")
        await wait_for_value(count_failed, lambda count: count == 2)


async def test_metrics_count_stalled_jobs(
    conductor: SimulatedConductor, client: Client, open_stream: OpenStream
) -> None:
    conductor.launch("a", 2)
    conductor.dispatch("a", 1)
    assert client.app is not None
    hub = client.app[JOB_HUB]
    async with open_stream("/api/jobs/a/stream") as viewer:
        await viewer.wait_for("job_sheets")
        hub.roster.progress.stalled_after_s = 0.001
        hub.update_progress()
        await viewer.wait_for_status(stalled=[1])
        assert (await get_metrics(client))["marianne_stream_jobs_stalled{}"] == 1


async def test_metrics_of_history_count_records(
    conductor: SimulatedConductor, settings: Settings, aiohttp_client: Start, tmp_path: Path
) -> None:
    conductor.launch("a", 2)
    recording = settings.model_copy(update={"history": "auto", "data_dir": tmp_path})
    client = await aiohttp_client(create_app(recording))
    name = "marianne_stream_history_"
    found = await wait_for_value(
        lambda: get_metrics(client), lambda found: found[f"{name}written_records_total{{}}"] >= 2
    )
    assert found[f"{name}recording{{}}"] == 1
    assert found[f"{name}errors_total{{}}"] == 0
    assert found[f"{name}pending_records{{}}"] >= 0


CONDUCTOR = "marianne_stream_conductor_"


async def get_load(client: Client) -> dict[str, float]:
    """Return the metrics of the conductor, without their prefix and the empty label."""
    return {
        name.removeprefix(CONDUCTOR).removesuffix("{source=}"): value
        for name, value in (await get_metrics(client)).items()
        if name.startswith(CONDUCTOR)
    }


async def test_metrics_have_the_load_of_the_conductor(
    conductor: SimulatedConductor, client: Client
) -> None:
    until = time.time() + 60.0
    conductor.daemon.rate_limits_until = {"claude": until, "cli": until - 30.0}
    conductor.daemon.pressure_level = "medium"
    conductor.launch("a", 1)
    found = await get_load(client)
    assert (found["running_jobs"], found["accepting_work"], found["pressure_level"]) == (1, 1, 2)
    assert found["rate_limits"] == 2
    assert found["rate_limit_end_time_seconds"] == pytest.approx(until, abs=5.0)
    limits = ("max_connections", "max_concurrent_jobs", "max_concurrent_sheets")
    assert [found[name] for name in limits] == [5, 15, 25]
    assert found["memory_bytes"] > 1024 * 1024
    assert 0 < found["host_memory_available_bytes"] < found["host_memory_total_bytes"]
    # Another scrape does not ask the conductor again.
    asked = conductor.statistics.requests["daemon.status"]
    await get_load(client)
    assert conductor.statistics.requests["daemon.status"] == asked


async def test_metrics_lack_what_an_older_conductor_does_not_report(
    conductor: SimulatedConductor, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    conductor.daemon.pressure_level = "extreme"
    monkeypatch.setattr(Daemon, "rate_limits", lambda _daemon: {})
    monkeypatch.setattr(Daemon, "status", lambda _daemon, _running_jobs: {})
    found = await get_load(client)
    assert found.keys() & {"pressure_level", "rate_limits", "running_jobs", "memory_bytes"} == set()
    assert found["max_connections"] == 5


async def test_scrapes_ask_a_conductor_that_is_away_at_intervals(
    conductor: SimulatedConductor, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await get_load(client)
    await conductor.kill()
    assert client.app is not None
    conductors = client.app[JOB_HUB].roster.conductors
    monkeypatch.setattr(conductor_poller, "RETRY_INTERVAL_S", 0.0)
    conductors.invalidate()
    assert await get_load(client) == {}
    await conductor.start()
    # The failed attempt was just now.
    assert await get_load(client) == {}
    conductors.invalidate()
    assert (await get_load(client))["max_connections"] == 5
    # It has not answered for long.
    monkeypatch.setattr(conductor_poller, "MAX_AGE_S", 0.0)
    assert await get_load(client) == {}
