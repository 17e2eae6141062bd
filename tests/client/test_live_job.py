"""Tests of the display of one watched job."""

from rich.console import Console

from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import SheetBody, SheetsBody, StatusBody, WaitingBody
from marianne_stream.client.live_job import LiveJob
from marianne_stream.client.output import Output
from marianne_stream.client.watched_job import WatchedJob
from tests.support.screens import Screen
from tests.support.scripted_server import ScriptedServer, error_response, stream_response
from tests.support.waiting import wait_until


def make_display(
    client: ApiClient, *, columns: int = 80, rows: int = 24
) -> tuple[LiveJob, Console]:
    """Return a display, and the console on which it is drawn."""
    output = Output(Screen(), environ={"TERM": "xterm", "NO_COLOR": "1"})
    output.console.width, output.console.height = columns, rows
    return LiveJob(output, client, "nightly"), output.console


def draw(display: LiveJob, console: Console) -> list[str]:
    """Return the lines of the display without attributes."""
    with console.capture() as capture:
        console.print(display.draw())
    text = capture.get()
    for code in ("\x1b[2m", "\x1b[0m", "\x1b[1m"):
        text = text.replace(code, "")
    return [line.rstrip() for line in text.splitlines()]


def make_job(sheets: list[SheetBody], status: StatusBody) -> WatchedJob:
    job = WatchedJob("nightly")
    job.apply_status(status, now_s=0.0)
    job.apply_sheets(SheetsBody(complete=True, sheets=sheets))
    return job


async def test_display_tells_why_a_job_waits_and_what_it_costs() -> None:
    async with ScriptedServer(error_response(404)).run() as client:
        display, console = make_display(client)
        status = StatusBody(
            *("paused", 1, 3, None, "It failed"),
            waiting=WaitingBody("A person must\nlook.", "2099-11-28T12:00:00Z"),
            stalled=[2],
            eta_at="2099-11-28T12:00:00Z",
            estimated_cost=0.125,
            output_tokens=1500,
        )
        display.update(make_job([SheetBody(1, "completed"), SheetBody(2, "in_progress")], status))
        head, waits, stalled, error, facts, *sheets = draw(display, console)
    assert head.split()[:2] == ["nightly", "paused"]
    assert waits.startswith("waits: A person must look. Until ")
    assert stalled == "no sign of life from sheet 2"
    assert error == "error: It failed"
    assert facts.startswith("ends about ")
    assert facts.endswith("0.12 US dollars (estimated), 1,500 tokens out")
    assert [line.split()[0] for line in sheets] == ["SHEET", "1", "2"]
    assert sheets[-1].endswith("no sign of life")


async def test_sheets_that_matter_are_shown_in_a_low_terminal() -> None:
    sheets = [SheetBody(number, "completed") for number in range(1, 21)]
    sheets += [SheetBody(21, "failed", error_message="one line\nand another " * 9)]
    sheets += [SheetBody(22, "in_progress"), *(SheetBody(n, "pending") for n in range(23, 100))]
    async with ScriptedServer(error_response(404)).run() as client:
        display, console = make_display(client, columns=40, rows=14)
        display.update(make_job(sheets, StatusBody("running", 20, 99)))
        lines = draw(display, console)
        assert len(lines) < 14
        assert [line.split()[0] for line in lines if line[:2].isdigit()][:3] == ["21", "22", "23"]
        assert any(line.startswith("    one line") for line in lines)
        assert lines[-1].startswith("and ")
        display.is_closed = True
        lines = draw(display, console)
        assert lines[1].split()[:2] == ["21", "failed"]
        assert len(lines) > 3
        assert not any("sheets:" in line for line in lines)
        display.is_interrupted = True
        assert " ".join(draw(display, console)[-2:]) == (
            "sheets: 77 pending, 20 completed, 1 failed, 1 in progress"
        )


async def test_newest_lines_of_the_log_end_with_the_unfinished_one() -> None:
    frames = (
        *(b'id: l-1\nevent: log\ndata: {"line":"first"}\n\n',),
        *(b'id: l-2\nevent: log\ndata: {"line":"second","level":"info"}\n\n',),
        b'event: log_partial\ndata: {"line":"45 %","line_number":3}\n\n',
        b'id: c-3\nevent: log_complete\ndata: {"message":"The end."}\n\n',
    )
    async with ScriptedServer(stream_response(*frames)).run() as client:
        display, console = make_display(client)
        async with display.running():
            await wait_until(lambda: "45 %" in draw(display, console))
            assert draw(display, console)[-3:] == ["first", "second", "45 %"]
        assert "45 %" not in draw(display, console)


async def test_reason_for_a_log_that_cannot_be_read_is_shown() -> None:
    async with ScriptedServer(error_response(403, "The log is not a file.")).run() as client:
        display, console = make_display(client)
        async with display.running():
            await wait_until(lambda: draw(display, console)[-1] == "The log is not a file")
