"""Windows of one browser while the server is killed: nothing lost, nothing twice, gaps named."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser, open_browser_user
from tests.support.ports import free_port
from tests.support.processes import run_server
from tests.support.viewers import wait_for_combined_streams, wait_for_source
from tests.support.waiting import wait_for_value

KILLS = 3
FIRST_LINES = 20
SHEETS = 400
WRITE_INTERVAL_S = 0.03

# Keeps what the windows' worker gives to a page.
RECORD_EVENTS = """
window.received = [];
window.SharedWorker = class extends SharedWorker {
  constructor(...options) {
    super(...options);
    this.port.addEventListener("message", ({ data: { events = [] } }) =>
      window.received.push(...events.map(({ event, data }) => [event, JSON.parse(data)])));
  }
};
"""


class Writer:
    """Writes numbered lines, events and status changes of the jobs `busy` and `other`, all at once.

    Attributes:
        number: number of the last line and event.
    """

    def __init__(self, conductor: SimulatedConductor, log: Path) -> None:
        self.number = FIRST_LINES
        self._conductor = conductor
        self._log = log
        self._task: asyncio.Task[None] | None = None

    @property
    def completed_sheets(self) -> int:
        """Number of completed sheets of each job."""
        return (self.number - FIRST_LINES) // 5

    def write_lines(self, first: int, last: int) -> None:
        """Write lines to the log of `busy`."""
        with self._log.open("a") as file:
            file.writelines(f"line {number}\n" for number in range(first, last + 1))

    def start(self) -> None:
        """Write from now on without pause."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop writing, if it goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(WRITE_INTERVAL_S)
            self.number += 1
            self.write_lines(self.number, self.number)
            self._conductor.emit("busy", "job.said", {"number": self.number})
            if (self.number - FIRST_LINES) % 5 == 0:
                for job_id in ("busy", "other"):
                    self._conductor.complete_sheet(job_id, self.completed_sheets)


class Window:
    """A page and what it has been given."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def read(self, kind: str) -> list[tuple[str, Any]]:
        """Return the events of the parts of a kind."""
        found = await self.page.evaluate(
            "kind => window.received.filter(([, data]) => data.part?.startsWith(kind))", kind
        )
        return [(name, data) for name, data in found]

    async def read_events(self) -> list[int | None]:
        """Return the numbers of the job's events, and None for each gap."""
        return [
            None if name == "gap" else data["data"]["number"]
            for name, data in await self.read("events:")
            if name in ("gap", "job.said")
        ]

    async def read_lines(self) -> list[int]:
        """Return the numbers of the lines in the log's stream."""
        return [
            int(data["line"].split()[1]) for name, data in await self.read("log:") if name == "log"
        ]

    async def read_counts(self) -> list[int]:
        """Return the completed sheets of each status."""
        return [
            data["completed_sheets"]
            for name, data in await self.read("status:")
            if name == "job_status"
        ]


async def open_windows(someone: BrowserUser) -> list[Window]:
    """Open two windows of the job `busy`, and one of `other`."""
    await someone.context.add_init_script(RECORD_EVENTS)
    paths = ("/jobs/busy", "/jobs/busy", "/jobs/other")
    windows = [Window(await someone.open_page(path)) for path in paths]
    for window in windows[:2]:
        await expect(window.page.locator(".row.line")).to_have_count(FIRST_LINES)
    for window in windows:
        await expect(window.page.locator("#connection")).to_contain_text("Live")
    return windows


async def wait_past(windows: list[Window], number: int) -> None:
    """Wait until all windows have got lines, events and states behind a number."""
    count = (number - FIRST_LINES) // 5
    for window in windows:
        await wait_for_value(window.read_counts, lambda found: found[-1:] >= [count], timeout_s=60)
    for window in windows[:2]:
        await wait_for_value(window.read_lines, lambda found: found[-1:] >= [number], timeout_s=60)
        await wait_for_value(
            window.read_events,
            lambda found: max(filter(None, found), default=0) >= number,
            timeout_s=60,
        )


def check_events(events: list[int | None], allowed: list[tuple[int, int]], last: int) -> None:
    """Check that each event came once and in order, and that the lost ones are named.

    Args:
        events: the numbers of the events, and None for a gap.
        allowed: the ranges in which events may be lost: from the last one that all windows had
            before a kill, to the one at which the next server received events.
        last: number of the last event.
    """
    before, is_gap = FIRST_LINES, False
    for number in events:
        if number is None:
            is_gap = True
            continue
        assert number > before, f"event {number} came behind {before}"
        if number > before + 1:
            assert is_gap, f"the events between {before} and {number} are missing without a gap"
            assert any(low <= before and number <= high + 1 for low, high in allowed), (
                f"the events between {before} and {number} are missing: {allowed}"
            )
        before, is_gap = number, False
    assert before == last


async def check_windows(
    windows: list[Window], writer: Writer, allowed: list[tuple[int, int]]
) -> None:
    """Check what all windows have got and show, after the writer has stopped."""
    last = writer.number
    await wait_past(windows, last)
    for window in windows[:2]:
        assert await window.read_lines() == list(range(FIRST_LINES + 1, last + 1))
        events = await window.read_events()
        check_events(events, allowed, last)
        # What is lost while no server runs is named, once.
        assert events.count(None) == len(allowed)
        page = window.page
        await page.bring_to_front()
        await expect(page.locator(".row.line .number").last).to_have_text(str(last))
        await expect(page.locator(".event[data-event='gap']").first).to_be_visible()
        await expect(page.locator(".event[data-event='job.said']").first).to_contain_text(str(last))
    for window in windows:
        counts = await window.read_counts()
        assert counts == sorted(counts)
        await expect(window.page.locator(".job-header .count")).to_have_text(
            f"{writer.completed_sheets} / {SHEETS}"
        )


@pytest.mark.slow
async def test_windows_go_on_exactly_while_the_server_is_killed(
    browser: Browser, conductor: SimulatedConductor, tmp_path: Path
) -> None:
    (workspace := tmp_path / "busy").mkdir()
    conductor.launch("busy", SHEETS, workspace=str(workspace))
    conductor.launch("other", SHEETS)
    writer = Writer(conductor, workspace / "marianne.log")
    writer.write_lines(1, FIRST_LINES)
    port = free_port()
    options = ("--port", port, "--data-dir", tmp_path / "private")
    allowed: list[tuple[int, int]] = []
    windows: list[Window] = []
    async with open_browser_user(browser, f"http://127.0.0.1:{port}", "kills") as someone:
        try:
            for _ in range(KILLS):
                async with run_server(tmp_path, *options) as running:
                    windows = windows or await open_windows(someone)
                    await wait_for_source(f"{someone.address}/api/events/stream", live=True)
                    if writer.number == FIRST_LINES:
                        writer.start()
                    if allowed:
                        allowed[-1] = (allowed[-1][0], writer.number)
                    known = writer.number + 10
                    await wait_past(windows, known)
                    running.send_signal(signal.SIGKILL)
                    await running.wait()
                    allowed.append((known, known))
            async with run_server(tmp_path, *options):
                await wait_for_source(f"{someone.address}/api/events/stream", live=True)
                allowed[-1] = (allowed[-1][0], writer.number)
                await wait_past(windows, writer.number + 10)
                await writer.stop()
                await check_windows(windows, writer, allowed)
                await wait_for_combined_streams(someone.address)
        finally:
            await writer.stop()
