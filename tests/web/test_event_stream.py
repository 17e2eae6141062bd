"""Stream of events: the newest first, then new ones, and a gap for lost ones."""

import asyncio
from functools import partial

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.web.app_keys import JOB_HUB
from tests.support.viewers import Viewer
from tests.support.waiting import wait_until
from tests.web.conftest import Client, OpenStream


@pytest.fixture
async def subscribed(conductor: SimulatedConductor, client: Client) -> SimulatedConductor:
    """Return a conductor that the server is subscribed to."""
    del client
    await wait_until(lambda: conductor.statistics.monitor_streams_open)
    return conductor


async def test_event_has_name_and_params_of_the_conductor(
    subscribed: SimulatedConductor, open_stream: OpenStream
) -> None:
    subscribed.launch("a", 2)
    async with open_stream("/api/events/stream") as viewer:
        await viewer.wait_for("job.started")
        subscribed.emit("a", "observer.file_created", {"path": "é.txt"}, 2)
        created = await viewer.wait_for("observer.file_created")
    assert viewer.event_names[0] == "source"
    assert set(created) == {"job_id", "sheet_num", "event", "data", "timestamp"}
    assert (created["job_id"], created["sheet_num"]) == ("a", 2)
    assert created["data"] == {"path": "é.txt"}


async def test_event_limit_selects_newest_events(
    subscribed: SimulatedConductor, open_stream: OpenStream
) -> None:
    for number in range(60):
        subscribed.emit("a", f"job.step{number}")
    async with open_stream("/api/events/stream") as all_of_them:
        await all_of_them.wait_for("job.step59")
    for limit, expected in (("0", 0), ("3", 3), ("", 50), ("200", 60)):
        params = {"limit": limit} if limit else {}
        async with open_stream("/api/events/stream", **params) as viewer:
            await viewer.wait_for("source")
            if expected:
                await viewer.wait_for("job.step59")
        assert viewer.event_names[1:] == [f"job.step{n}" for n in range(60 - expected, 60)]


async def test_job_events_hold_events_of_that_job_only(
    subscribed: SimulatedConductor, open_stream: OpenStream
) -> None:
    subscribed.launch("a", 2)
    subscribed.launch("b", 2)
    async with open_stream("/api/jobs/a/events") as viewer:
        await viewer.wait_for("job.started")
        subscribed.emit("b", "job.cost_update")
        subscribed.emit("", "monitor.anomaly")
        subscribed.emit("a", "job.cost_update")
        await viewer.wait_for("job.cost_update")
    assert {data["job_id"] for data in viewer.event_data("job.started", "job.cost_update")} == {"a"}
    assert "monitor.anomaly" not in viewer.event_names


async def test_event_filters_match_job_and_name_prefix(
    subscribed: SimulatedConductor, open_stream: OpenStream
) -> None:
    path = "/api/events/stream?job_id=a&job_id=b&event=job.&event=sheet.&limit=0"
    async with open_stream(path) as viewer:
        await viewer.wait_for("source")
        for job_id in ("a", "b", "c"):
            for event in ("job.one", "sheet.two", "observer.three"):
                subscribed.emit(job_id, event)
        subscribed.emit("a", "job.last")
        await viewer.wait_for("job.last")
    got = [(data["job_id"], data["event"]) for data in viewer.event_data("job.one", "sheet.two")]
    assert got == [("a", "job.one"), ("a", "sheet.two"), ("b", "job.one"), ("b", "sheet.two")]
    assert "observer.three" not in viewer.event_names


async def test_resumed_event_stream_sends_each_event_once(
    subscribed: SimulatedConductor, open_stream: OpenStream
) -> None:
    subscribed.emit("a", "job.step0")
    async with open_stream("/api/events/stream") as viewer:
        await viewer.wait_for("job.step0")
    cursor = viewer.last_event_id
    for number in range(1, 80):
        subscribed.emit("a", f"job.step{number}")
    async with open_stream("/api/events/stream", last_event_id=cursor) as resumed:
        await resumed.wait_for("job.step79")
    assert resumed.event_names == ["source", *(f"job.step{number}" for number in range(1, 80))]
    assert len({event.event_id for event in resumed.events[1:]}) == 79


async def test_event_stream_resumed_before_first_event_loses_none(
    subscribed: SimulatedConductor, open_stream: OpenStream
) -> None:
    subscribed.emit("a", "job.before")
    async with open_stream("/api/events/stream", limit="0") as viewer:
        await viewer.wait_for("source")
    subscribed.emit("a", "job.meanwhile")
    async with open_stream("/api/events/stream", last_event_id=viewer.last_event_id) as resumed:
        await resumed.wait_for("job.meanwhile")
    assert resumed.event_names == ["source", "job.meanwhile"]


@pytest.mark.parametrize("cursor", ["nonsense", "t-0123456789abcdef-7", "s-" + "0" * 24])
async def test_foreign_event_cursor_sends_gap_then_recent_events(
    subscribed: SimulatedConductor, open_stream: OpenStream, cursor: str
) -> None:
    subscribed.emit("a", "job.step0")
    async with open_stream("/api/events/stream") as viewer:
        await viewer.wait_for("job.step0")
    async with open_stream("/api/events/stream", last_event_id=cursor) as resumed:
        await resumed.wait_for("job.step0")
    assert resumed.event_names == ["gap", "source", "job.step0"]
    assert resumed.event_data("gap") == [{"missed": None, "reason": "cursor_expired"}]


async def test_lost_monitor_connection_sends_gap(
    subscribed: SimulatedConductor, open_stream: OpenStream
) -> None:
    async with open_stream("/api/events/stream") as viewer:
        subscribed.emit("a", "job.before")
        await viewer.wait_for("job.before")
        await subscribed.disconnect_all()
        await wait_until(lambda: subscribed.statistics.monitor_streams_open)
        subscribed.emit("a", "job.after")
        await viewer.wait_for("job.after")
    assert viewer.event_names == ["source", "job.before", "source", "gap", "source", "job.after"]
    assert [data["live"] for data in viewer.event_data("source")] == [True, False, True]
    assert viewer.event_data("gap") == [{"missed": None, "reason": "monitor_lost"}]


async def test_stalled_event_of_the_conductor_is_sent_as_message(
    subscribed: SimulatedConductor, client: Client, open_stream: OpenStream
) -> None:
    subscribed.launch("a", 1)
    subscribed.dispatch("a", 1)
    assert client.app is not None
    hub = client.app[JOB_HUB]
    stalled = {"event": "sheet.stalled"}
    async with (
        open_stream("/api/events/stream") as all_events,
        open_stream("/api/events/stream", **stalled) as own_events,
        open_stream("/api/jobs/a/stream") as job,
    ):
        await job.wait_for("job_sheets")
        subscribed.emit("a", "sheet.stalled", {}, 7)
        received = await all_events.wait_for("message")
        assert received["event"] == "sheet.stalled"
        hub.roster.progress.stalled_after_s = 0.001
        hub.update_progress()
        own = await all_events.wait_for("sheet.stalled")
        await own_events.wait_for("sheet.stalled")
    assert (own["sheet_num"], own["observed"]) == (1, True)
    assert [data["sheet_num"] for data in own_events.event_data("sheet.stalled")] == [1]
    async with open_stream("/api/events/stream") as resumed:
        await resumed.wait_for("sheet.stalled")
    assert resumed.event_data("message") == [received]


async def test_unsafe_event_name_is_sent_as_message(
    subscribed: SimulatedConductor, open_stream: OpenStream
) -> None:
    bad = ["a\nb", "", "é", "gap", "source", "error", "x" * 300]
    async with open_stream("/api/events/stream") as viewer:
        await viewer.wait_for("source")
        for name in bad:
            subscribed.emit("a", name)
        await viewer.wait_for("message", len(bad))
    assert [data["event"] for data in viewer.event_data("message")] == bad
    assert viewer.event_names == ["source"] + ["message"] * len(bad)


def has_events(viewer: Viewer, steps: int) -> bool:
    return viewer.event_counts["job.step"] == steps


async def test_slow_client_gets_gap_with_number_of_lost_events(
    subscribed: SimulatedConductor, client: Client, open_stream: OpenStream
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port, limit=2**16)
    writer.write(b"GET /api/events/stream?limit=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"event: source\n")
    total = 6000
    async with open_stream("/api/events/stream") as quick:
        await quick.wait_for("source")
        for number in range(total):
            subscribed.emit("a", "job.step", {"number": number, "fill": "x" * 2000})
            if number % 50 == 49:
                await wait_until(partial(has_events, quick, number + 1))
    assert "gap" not in quick.event_names
    subscribed.emit("a", "job.last")
    data = b""
    while b"event: job.last" not in data:
        data += await asyncio.wait_for(reader.read(2**20), 5)
    writer.close()
    gaps = [int(part.split(b",")[0]) for part in data.split(b'event: gap\ndata: {"missed":')[1:]]
    assert sum(gaps) + data.count(b"event: job.step\n") == total
    assert b'"reason":"slow_consumer"' in data
