"""Recorded runs and events as JSON, within limits of size, and what is known of the last visit."""

import asyncio
import resource
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from marianne_stream.app import create_app
from marianne_stream.config.settings import Settings
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.history import history_reader
from marianne_stream.history.queries import MAX_PAGE_BYTES
from marianne_stream.history.records import (
    EventRecord,
    RunRecord,
    SheetRecord,
    Transition,
    WriteBatch,
)
from marianne_stream.history.store import HistoryStore, history_path
from marianne_stream.schemas.history_schemas import (
    RunData,
    RunSheetData,
    RunSummary,
    TransitionData,
)
from marianne_stream.web.app_keys import FIND_HISTORY
from tests.support.viewers import open_viewer
from tests.support.waiting import TIMEOUT_S, wait_for_value
from tests.web.conftest import BEARER, NARROWED, Client
from tests.web.test_jobs import get_error, get_json

RUN = "2026-01-01T00:00:00Z"
EPOCH = "e" * 16

# Fields of a sheet that are absent if the conductor tells nothing.
NOTHING_KNOWN: dict[str, Any] = {
    **dict.fromkeys(("attempt", "started_at", "completed_at", "work_s", "error_code")),
    **dict.fromkeys(("error_message", "instrument_name", "movement")),
    "observed": False,
    "estimated": False,
}

StartRecorded = Callable[..., Awaitable[Client]]


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Return settings with a history."""
    return settings.model_copy(update={"history": "auto", "data_dir": tmp_path / "data"})


@pytest.fixture
def start_recorded(
    settings: Settings, conductor: SimulatedConductor, aiohttp_client: Callable[..., Any]
) -> StartRecorded:
    """Return a function that starts a server whose history has some records."""
    del conductor

    async def start(
        locked_by: HistoryStore | None = None, update: dict[str, Any] | None = None, **records: Any
    ) -> Client:
        data_dir = settings.data_dir
        assert data_dir is not None
        path = history_path(data_dir, settings.conductor_socket)
        store = HistoryStore(path, max_age_s=1e9, max_bytes=2**30)
        await store.open()
        await store.begin_epoch(EPOCH, 0)
        await store.write(WriteBatch(**records), EPOCH)
        await store.close()
        if locked_by is not None:
            await locked_by.open()
        app = create_app(settings.model_copy(update=update or {}))
        client: Client = await aiohttp_client(app)
        return client

    return start


def make_run(run: str = RUN, **changes: Any) -> RunRecord:
    now = time.time()
    fields: dict[str, Any] = {
        "job_id": "a",
        "run": run,
        "submitted_at": now,
        "status": "failed",
        "started_at": now,
        "completed_at": now,
        "total_sheets": 2,
        "completed_sheets": 1,
        "error_message": "no",
        "waited_s": 0.5,
        "estimated_cost": 0.1,
        "input_tokens": 5,
        "output_tokens": 6,
        "changed_at": now,
    }
    return RunRecord(**{**fields, **changes})


def make_sheets(count: int) -> Sequence[SheetRecord]:
    now = time.time()
    return [
        SheetRecord(
            *("a", RUN, number, "failed", 1, now, now, True, True, 3.0),
            *("E999", "no memory", "cli", "1"),
        )
        for number in range(1, count + 1)
    ]


def make_event(number: int, size: int = 10) -> EventRecord:
    return EventRecord(number, "a", "job.started", b'"' + b"x" * size + b'"', time.time())


async def test_run_has_all_fields_that_are_known(start_recorded: StartRecorded) -> None:
    unknown = {"started_at": None, "completed_at": None, "error_message": None}
    costs = {"estimated_cost": None, "input_tokens": None, "output_tokens": None}
    bare = make_run("2026-01-02T00:00:00Z", status="running", **unknown, **costs)
    client = await start_recorded(
        runs=[make_run(), bare],
        sheets=[
            *make_sheets(1),
            replace(make_sheets(1)[0], run=bare.run, status="pending", **NOTHING_KNOWN),
        ],
        transitions=[
            Transition("a", RUN, 1, time.time(), "failed", 1, backfilled=True),
            Transition("a", bare.run, 0, time.time(), "running", None, backfilled=False),
        ],
    )
    full = await get_json(client, f"/api/jobs/a/runs/{RUN}")
    assert full.keys() == RunData.model_fields.keys()
    assert full["sheets"][0].keys() == RunSheetData.model_fields.keys()
    assert full["transitions"][0].keys() == TransitionData.model_fields.keys()
    assert full["started_at"].endswith("Z")
    latest = await get_json(client, "/api/jobs/a/runs/latest")
    assert latest.keys() == full.keys() - unknown.keys() - costs.keys()
    assert latest["sheets"] == [{"number": 1, "status": "pending"}]
    assert latest["transitions"][0].keys() == {"number", "status", "at"}
    page = await get_json(client, "/api/jobs/a/runs")
    assert [run["run"] for run in page["runs"]] == [bare.run, RUN]
    assert page["runs"][1].keys() == RunSummary.model_fields.keys()
    assert page["runs"][1] == {name: full[name] for name in page["runs"][1]}


async def test_errors_are_cut_in_lists(start_recorded: StartRecorded) -> None:
    client = await start_recorded(runs=[make_run(error_message="x" * 1000)])
    (listed,) = (await get_json(client, "/api/jobs/a/runs"))["runs"]
    (ended,) = (await get_json(client, "/api/summary?since=2026-01-01T00:00:00Z"))["ended"]
    assert listed["error_message"] == ended["error_message"] == "x" * 300
    full = await get_json(client, f"/api/jobs/a/runs/{RUN}")
    assert full["error_message"] == "x" * 1000


async def test_page_of_large_events_ends_early(start_recorded: StartRecorded) -> None:
    size = MAX_PAGE_BYTES // 3
    events = [make_event(number, size) for number in range(1, 8)]
    client = await start_recorded(events=[*events, make_event(8, 2 * MAX_PAGE_BYTES)])
    counts, before = [], "0"
    while before:
        page = await get_json(client, "/api/jobs/a/events/list", params={"before": before})
        counts.append(len(page["events"]))
        before = page["next"]
    assert counts == [1, 2, 2, 2, 1]


async def test_events_of_an_unknown_job_are_not_found(start_recorded: StartRecorded) -> None:
    client = await start_recorded(events=[make_event(1)])
    assert len((await get_json(client, "/api/jobs/a/events/list"))["events"]) == 1
    assert (await get_json(client, "/api/jobs/a/events/list?before=1"))["events"] == []
    await get_error(client, "/api/jobs/none/events/list", 404, "job_not_found")


async def test_run_of_many_sheets_is_read_in_pages_and_sheet_by_sheet(
    start_recorded: StartRecorded,
) -> None:
    client = await start_recorded(
        runs=[make_run()],
        sheets=make_sheets(20_000),
        transitions=[
            Transition("a", RUN, number, time.time(), "failed", 1, backfilled=False)
            for number in range(20_001)
        ],
    )
    sheets, transitions, after = [], [], "0"
    while after:
        response = await client.get(f"/api/jobs/a/runs/{RUN}", params={"after": after})
        assert len(await response.read()) < 1024 * 1024
        page = await response.json()
        sheets += [sheet["number"] for sheet in page["sheets"]]
        transitions += [transition["number"] for transition in page["transitions"]]
        after = page["next"]
    assert sheets == list(range(1, 20_001))
    assert transitions == list(range(20_001))
    assert "sheets" not in (await get_json(client, "/api/jobs/a/runs"))["runs"][0]
    sheet = await get_json(client, "/api/jobs/a/sheets/20000", params={"run": "latest"})
    assert (sheet["number"], sheet["run"], sheet["error_code"]) == (20_000, RUN, "E999")


async def test_page_of_a_run_that_was_executed_often_has_the_last_transitions(
    start_recorded: StartRecorded,
) -> None:
    transitions = [
        Transition("a", RUN, 1 + number % 2, float(number), "dispatched", number, backfilled=False)
        for number in range(1, 12_001)
    ]
    client = await start_recorded(runs=[make_run()], sheets=make_sheets(2), transitions=transitions)
    page = await get_json(client, f"/api/jobs/a/runs/{RUN}")
    assert [each["attempt"] for each in page["transitions"]] == list(range(7001, 12_001))
    page = await get_json(client, f"/api/jobs/a/runs/{RUN}?limit=1")
    assert [sheet["number"] for sheet in page["sheets"]] == [1]
    assert {each["number"] for each in page["transitions"]} == {1}
    assert page["next"] == "1"


SUMMARY = "/api/summary?since=2026-01-01T00:00:00Z"


def make_stalled(number: int, job_id: str, data: bytes) -> EventRecord:
    return EventRecord(number, job_id, "sheet.stalled", data, time.time())


async def test_stalled_events_of_the_conductor_are_not_in_the_summary(
    start_recorded: StartRecorded,
) -> None:
    forged = [b'{"sheet_num":null}', b'{"sheet_num":1}', b"[", b"7", b'{"sheet_num":"1"}', b"\xff"]
    own = b'{"job_id":"a","sheet_num":3,"event":"sheet.stalled","observed":true}'
    client = await start_recorded(
        events=[make_stalled(n, "a", each) for n, each in enumerate([*forged, own], 1)]
    )
    summary = await get_json(client, SUMMARY)
    assert [(each["job_id"], each["sheet"]) for each in summary["stalled"]] == [("a", 3)]


async def test_summary_is_complete_for_a_token_beside_many_other_jobs(
    start_recorded: StartRecorded, token_file: Path
) -> None:
    own = b'{"sheet_num":3,"observed":true}'
    now = time.time()
    client = await start_recorded(
        runs=[
            make_run(job_id="nightly-a", completed_at=now - 9),
            *(make_run(job_id=f"other-{number}") for number in range(6000)),
        ],
        events=[
            make_stalled(1, "nightly-a", own),
            *(make_stalled(number, "other", own) for number in range(2, 6002)),
        ],
        update={"no_auth": False, "token_file": token_file},
    )
    summary = await get_json(client, SUMMARY, headers=NARROWED)
    assert [each["job_id"] for each in summary["ended"]] == ["nightly-a"]
    assert [each["job_id"] for each in summary["stalled"]] == ["nightly-a"]
    assert summary["complete"]
    everything = await get_json(client, SUMMARY, headers=BEARER)
    assert (len(everything["ended"]), everything["complete"]) == (500, False)


async def test_summary_has_runs_whose_end_is_unknown(start_recorded: StartRecorded) -> None:
    now = time.time()
    client = await start_recorded(
        runs=[
            make_run(job_id="last", completed_at=now - 1, changed_at=now),
            make_run(job_id="unseen", status="cancelled", completed_at=None, changed_at=now - 2),
            make_run(job_id="first", completed_at=now - 3, changed_at=now),
            make_run(job_id="older", status="cancelled", completed_at=None, changed_at=1.0),
        ]
    )
    ended = (await get_json(client, SUMMARY))["ended"]
    assert [each["job_id"] for each in ended] == ["last", "unseen", "first"]
    assert "completed_at" not in ended[1]


async def test_summary_is_incomplete_while_running_jobs_are_not_watched(
    conductor: SimulatedConductor, settings: Settings, start_recorded: StartRecorded
) -> None:
    conductor.launch("paused", 1)
    conductor.pause("paused")
    data_dir = settings.data_dir
    assert data_dir is not None
    path = history_path(data_dir, settings.conductor_socket)
    other = HistoryStore(path, max_age_s=1e9, max_bytes=2**30)
    client = await start_recorded(locked_by=other)
    summary = await get_json(client, SUMMARY)
    assert [each["job_id"] for each in summary["waiting"]] == ["paused"]
    assert summary["complete"]
    conductor.launch("runs", 1)
    conductor.dispatch("runs", 1)
    summary = await wait_for_value(
        lambda: get_json(client, SUMMARY), lambda summary: not summary["complete"]
    )
    assert [each["job_id"] for each in summary["waiting"]] == ["paused"]
    async with open_viewer(client.session, str(client.make_url("/api/jobs/runs/stream"))) as viewer:
        await viewer.wait_for("job_sheets")
        await wait_for_value(lambda: get_json(client, SUMMARY), lambda found: found["complete"])
    await other.close()


async def test_summary_has_what_is_recorded_while_no_backend_can_be_read(
    conductor: SimulatedConductor, start_recorded: StartRecorded
) -> None:
    conductor.launch("paused", 1)
    conductor.pause("paused")
    own = b'{"sheet_num":3,"observed":true}'
    client = await start_recorded(
        runs=[make_run()],
        events=[make_stalled(1, "a", own)],
        update={"state_backend": "conductor"},
    )
    await conductor.kill()
    summary = await wait_for_value(
        lambda: get_json(client, SUMMARY), lambda found: not found["complete"]
    )
    assert [each["job_id"] for each in summary["ended"]] == ["a"]
    assert [each["job_id"] for each in summary["stalled"]] == ["a"]
    assert summary["waiting"] == []


async def test_history_that_cannot_be_read_for_a_moment_is_unreadable(
    settings: Settings, start_recorded: StartRecorded
) -> None:
    assert settings.data_dir is not None
    path = history_path(settings.data_dir, settings.conductor_socket)
    other = HistoryStore(path, max_age_s=1e9, max_bytes=2**30)
    client = await start_recorded(locked_by=other, runs=[make_run()])
    await get_json(client, "/health")
    for address in ("/api/jobs/a/runs", f"/api/jobs/a/runs/{RUN}", SUMMARY):
        with no_new_files():
            response = await client.get(address)
            assert (response.status, response.headers.get("Retry-After")) == (503, "5")
            assert (await response.json())["code"] == "history_unreadable"
    assert len((await get_json(client, "/api/jobs/a/runs"))["runs"]) == 1
    await other.close()


@contextmanager
def no_new_files() -> Iterator[None]:
    """Let each attempt to open a file fail with EMFILE."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_job_is_read_while_a_page_of_the_history_is(
    conductor: SimulatedConductor,
    start_recorded: StartRecorded,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_reader, "READ_TIMEOUT_S", TIMEOUT_S)
    client = await start_recorded(runs=[make_run()])
    store = client.app[FIND_HISTORY](None).store
    release = threading.Event()
    page = asyncio.create_task(store.read(lambda _database: release.wait()))
    try:
        conductor.launch("b", 1)
        async with asyncio.timeout(TIMEOUT_S):
            assert (await get_json(client, "/api/jobs/b"))["status"] == "running"
    finally:
        release.set()
        await page
