"""An upgrade: the next process takes over from the last one while everything is in use."""

import asyncio
import itertools
import json
import signal
import socket
from pathlib import Path

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.wire.sse import ServerSentEvent
from tests.support.history_servers import (
    emit_steps,
    fetch_all_events,
    wait_until_stored,
)
from tests.support.server_restart import (
    RestartViewer,
    run_activated_server,
    run_viewers,
)
from tests.support.waiting import wait_until

SHEETS = 400
VIEWERS_OF_EACH_KIND = 20


class EventViewer(RestartViewer):
    """Viewer of the conductor's events.

    Attributes:
        steps: numbers of the events, and the reasons of gaps, in order.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.steps: list[int | str] = []

    def take(self, event: ServerSentEvent) -> None:
        if event.event == "gap":
            self.steps.append(json.loads(event.data)["reason"])
        elif event.event == "test.step":
            self.steps.append(json.loads(event.data)["data"]["step"])


class StatusViewer(RestartViewer):
    """Viewer of a job's status.

    Attributes:
        completed: numbers of completed sheets, in order.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.completed: list[int] = []

    def take(self, event: ServerSentEvent) -> None:
        if event.event == "job_status":
            self.completed.append(json.loads(event.data)["completed_sheets"])


async def keep_busy(conductor: SimulatedConductor, log: Path) -> None:
    """Send events, write lines and complete sheets of a job, until cancelled."""
    for step in itertools.count(1):
        emit_steps(conductor, step)
        with log.open("a") as file:
            file.write(f"line {step}\n")
        if step % 5 == 0 and step // 5 < SHEETS:
            conductor.complete_sheet("a", step // 5)
        await asyncio.sleep(0.02)


def holes_without_gap(steps: list[int | str]) -> list[tuple[int, int]]:
    """Return neighbours of which the second does not follow, without a gap between them."""
    pairs = itertools.pairwise(steps)
    return [
        (before, after)
        for before, after in pairs
        if isinstance(before, int) and isinstance(after, int) and after != before + 1
    ]


def last_number(log: Path) -> int:
    """Return the number of the last line."""
    return int(log.read_text().split()[-1])


async def test_next_process_takes_over_and_no_stream_loses_anything(
    tmp_path: Path, conductor: SimulatedConductor
) -> None:
    (workspace := tmp_path / "ws").mkdir()
    (log := workspace / "marianne.log").write_text("line 0\n")
    conductor.launch("a", SHEETS, workspace=str(workspace))
    working = asyncio.create_task(keep_busy(conductor, log))
    options = ("--no-auth", "--data-dir", tmp_path / "data")
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as sock:
        job = f"http://127.0.0.1:{sock.getsockname()[1]}/api/jobs/a"
        logs = [RestartViewer(f"{job}/logs?tail_lines=1") for _ in range(VIEWERS_OF_EACH_KIND)]
        events = [EventViewer(f"{job}/events") for _ in range(VIEWERS_OF_EACH_KIND)]
        statuses = [StatusViewer(f"{job}/stream") for _ in range(VIEWERS_OF_EACH_KIND)]
        viewers = [*logs, *events, *statuses]
        async with run_viewers(viewers):
            async with run_activated_server(sock, tmp_path, *options) as old:
                await wait_until(
                    lambda: (
                        all(each.line_numbers for each in logs)
                        and all(each.steps for each in events)
                        and all(each.completed for each in statuses)
                    )
                )
                old.send_signal(signal.SIGTERM)
                assert await old.wait() == 0
            async with run_activated_server(sock, tmp_path, *options) as new:
                await wait_until(lambda: all(each.reconnected_at for each in viewers))
                await wait_until(lambda: "monitor subscribed" in new.log)
                before = last_number(log)
                await wait_until(lambda: last_number(log) > before)
                working.cancel()
                await asyncio.wait([working])
                last = last_number(log)
                await wait_until(lambda: all(each.line_numbers[-1] == last for each in logs))
                await wait_until(lambda: all(each.steps[-1] == last for each in events))
                done = min(last // 5, SHEETS - 1)
                await wait_until(lambda: all(each.completed[-1] == done for each in statuses))
                await wait_until_stored(tmp_path, last)
                recorded = await fetch_all_events(job.partition("/api/")[0], "a", limit=1000)
                assert "history not recorded" not in new.log
    assert "ERROR" not in old.log + new.log
    assert [fault for each in logs for fault in each.errors] == []
    for each in events:
        assert holes_without_gap(each.steps) == []
        assert each.steps.count("monitor_lost") == 1
    # What is recorded, a client has received once and in order, also across the restart.
    numbers = [event["data"]["step"] for event in recorded if event["event"] == "test.step"]
    for each in events:
        received = [step for step in each.steps if isinstance(step, int)]
        assert received == [number for number in numbers if number >= received[0]]
    assert all(each.completed == sorted(set(each.completed)) for each in statuses)
