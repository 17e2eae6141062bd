"""Tests of the display of one watched job."""

from typing import Any

import pytest
from rich.console import Console

from marianne_stream.client import sheet_table
from marianne_stream.client.api_client import ApiClient
from marianne_stream.client.api_models import SheetBody, SheetsBody, StatusBody, WaitingBody
from marianne_stream.client.live_job import LiveJob
from marianne_stream.client.output import Output
from marianne_stream.client.sse_client import StreamEvent
from marianne_stream.client.watched_job import WatchedJob
from tests.support.screens import Screen
from tests.support.scripted_server import ScriptedServer, error_response, stream_response
from tests.support.waiting import wait_until

LIVE = StreamEvent("source", {"source": "conductor", "live": True}, "")
AWAY = StreamEvent("source", {"source": "registry", "live": False}, "")


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
    job.apply(status, now_s=0.0)
    job.apply_sheets(SheetsBody(complete=True, sheets=sheets))
    return job


async def test_display_tells_why_a_job_waits_and_what_it_costs() -> None:
    async with ScriptedServer(error_response(404)).run() as client:
        display, console = make_display(client)
        status = StatusBody(
            *("nightly", "paused", None, None, 1, 3, None, "It failed"),
            waiting=WaitingBody("A person must\nlook.", "2099-11-28T12:00:00Z"),
            stalled=[2],
            eta_at="2099-11-28T12:00:00Z",
            estimated_cost=0.125,
            output_tokens=1500,
            resume_command="mzt resume nightly",
        )
        display.on_event(LIVE)
        display.update(make_job([SheetBody(1, "completed"), SheetBody(2, "in_progress")], status))
        head, waits, stalled, error, facts, resume, *sheets = draw(display, console)
    assert head.split()[:2] == ["nightly", "paused"]
    assert waits.startswith("waits: A person must look. Until ")
    assert stalled == "no sign of life from sheet 2"
    assert error == "error: It failed"
    assert facts.startswith("ends about ")
    assert facts.endswith("0.12 US dollars (estimated), 1,500 tokens out")
    assert resume == "resume with: mzt resume nightly"
    assert [line.split()[0] for line in sheets] == ["SHEET", "1", "2"]
    assert sheets[-1].endswith("no sign of life")


async def test_sheets_that_matter_are_shown_in_a_low_terminal() -> None:
    sheets = [SheetBody(number, "completed") for number in range(1, 21)]
    sheets += [SheetBody(21, "failed", error_message="one line\nand another " * 9)]
    sheets += [SheetBody(22, "in_progress"), *(SheetBody(n, "pending") for n in range(23, 100))]
    async with ScriptedServer(error_response(404)).run() as client:
        display, console = make_display(client, columns=40, rows=14)
        display.update(
            make_job(sheets, StatusBody("nightly", "running", completed_sheets=20, total_sheets=99))
        )
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
            "sheets: 77 pending, 20 completed, 1 failed, 1 in_progress"
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
        display.update(WatchedJob("nightly", "running"))
        async with display.running():
            await wait_until(lambda: draw(display, console)[-3:] == ["first", "second", "45 %"])
        assert "45 %" not in draw(display, console)


async def test_reason_for_a_log_that_cannot_be_read_is_shown() -> None:
    scripted = ScriptedServer(error_response(403, "The log is not a file."))
    async with scripted.run() as client:
        display, console = make_display(client)
        async with display.running():
            # The stream of the job comes first: a client may be allowed one stream only.
            assert scripted.requests == []
            display.update(WatchedJob("nightly", "running"))
            await wait_until(lambda: draw(display, console)[-1] == "The log is not a file")


async def test_log_that_is_followed_no_more_says_so_above_its_old_lines() -> None:
    frame = b'id: l-1\nevent: log\ndata: {"line":"old line","source":"conductor"}\n\n'
    gap = b'id: l-2\nevent: log_gap\ndata: {"reason":"truncated"}\n\n'
    scripted = ScriptedServer(stream_response(frame, gap), error_response(403, "It is a link."))
    async with scripted.run() as client:
        display, console = make_display(client)
        display.update(WatchedJob("nightly", "running"))
        async with display.running():
            await wait_until(
                lambda: (
                    draw(display, console)[-3:]
                    == [
                        "── conductor's log ── It is a link",
                        "old line",
                        "── a part of the log is missing ──",
                    ]
                )
            )


async def test_place_of_a_missing_log_is_shown() -> None:
    missing = b'event: log_missing\ndata: {"detail":"Looked for ws/marianne.log."}\n\n'
    complete = b'id: c-3\nevent: log_complete\ndata: {"message":"The end."}\n\n'
    async with ScriptedServer(stream_response(missing, complete)).run() as client:
        display, console = make_display(client)
        display.update(WatchedJob("nightly", "running"))
        async with display.running():
            await wait_until(lambda: draw(display, console)[-1] == "Looked for ws/marianne.log.")


async def test_durations_stand_still_while_the_conductor_is_away() -> None:
    start = "1970-01-01T00:00:10Z"
    sheets = [SheetBody(1, "dispatched", started_at=start)]
    status = StatusBody("nightly", "running", start, completed_sheets=0, total_sheets=1)
    async with ScriptedServer(error_response(404)).run() as client:
        display, console = make_display(client, columns=102)
        display.on_event(AWAY)
        display.update(make_job(sheets, status))
        note, head, _, row = draw(display, console)
        assert note == (
            "not live: the state is from the registry, not from the conductor, and may be out of "
            "date"
        )
        # The display was never live: no duration is known.
        assert (head.split()[-1], row.split()[:2]) == ("0/1", ["1", "dispatched"])
        assert "━" not in row
        display.on_event(LIVE)
        head, *_ = draw(display, console)
        known_s = display.now_s
        assert known_s is not None
        assert head.split()[:2] == ["nightly", "running"]
        assert head.split()[-2].endswith("d")
        display.on_event(AWAY)
        draw(display, console)
        assert display.now_s == known_s
        client.connection_status.on_disconnected("stream", "Lost")
        display.on_event(LIVE)
        assert draw(display, console)[0] == (
            "not live: the connection to the server is lost; what is shown may be out of date"
        )
        assert display.now_s == known_s
        client.connection_status.on_connected("stream")
        draw(display, console)
        assert display.now_s > known_s


@pytest.mark.parametrize("is_closed", [False, True])
async def test_error_of_a_crashed_job_is_shown_beside_reasons_of_its_sheets(
    is_closed: bool,  # noqa: FBT001
) -> None:
    sheets = [SheetBody(1, "completed"), SheetBody(2, "stopped", 2, error_message="rate limit")]
    status = StatusBody("nightly", "failed", error_message="killed by signal 9")
    async with ScriptedServer(error_response(404)).run() as client:
        display, console = make_display(client)
        display.update(make_job(sheets, status))
        display.is_closed = is_closed
        assert "error: killed by signal 9" in draw(display, console)


async def test_error_that_a_failed_sheet_shows_is_not_repeated() -> None:
    status = StatusBody("nightly", "failed", error_message="Exit code 1: the whole of it")
    sheets = [SheetBody(1, "failed", error_message="Exit code 1", error_truncated=True)]
    async with ScriptedServer(error_response(404)).run() as client:
        display, console = make_display(client)
        display.update(make_job(sheets, status))
        assert "".join(draw(display, console)).count("Exit code 1") == 1


async def test_cut_errors_have_a_mark_and_the_last_display_cuts_none() -> None:
    long = "\n".join(f"line {number}" for number in range(12))
    status = StatusBody("nightly", "failed", error_message="Job: " + long)
    sheets = [SheetBody(1, "failed", error_message=long)]
    async with ScriptedServer(error_response(404)).run() as client:
        display, console = make_display(client, columns=42, rows=8)
        display.update(make_job(sheets, status))
        shown = draw(display, console)
        assert shown[1].endswith("…")
        assert shown[-1] == "    line 0 …"
        display.is_closed = True
        shown = draw(display, console)
    assert shown[1:3] == ["error: Job: line 0", "line 1"]
    assert shown[12:15] == ["line 11", "1      failed", "    line 0"]
    assert shown[-2:] == ["    line 11", "details: marianne-stream show nightly"]


async def test_failed_sheets_that_the_last_display_leaves_out_are_counted() -> None:
    sheets = [SheetBody(number, "failed", error_message="boom") for number in range(1, 131)]
    async with ScriptedServer(error_response(404)).run() as client:
        display, console = make_display(client)
        display.update(make_job(sheets, StatusBody("nightly", "failed")))
        display.is_closed = True
        lines = draw(display, console)
    assert lines[100].split() == ["100", "failed", "boom"]
    assert lines[101:] == [
        "and 30 more failed sheets",
        "details: marianne-stream show nightly",
    ]


async def test_one_table_is_made_for_a_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    row_counts = []
    make_table = sheet_table.make_sheet_table

    def count_rows(sheets: Any, *arguments: Any, **options: Any) -> Any:
        row_counts.append(len(sheets))
        return make_table(sheets, *arguments, **options)

    monkeypatch.setattr("marianne_stream.client.live_job.make_sheet_table", count_rows)
    error = "words and words " * 18
    sheets = [SheetBody(number, "failed", error_message=error) for number in range(1, 301)]
    async with ScriptedServer(error_response(404)).run() as client:
        display, console = make_display(client, columns=120, rows=70)
        display.update(make_job(sheets, StatusBody("nightly", "running")))
        assert draw(display, console)[-1] == "and 270 more: 270 failed"
    assert len(row_counts) == 1
    assert row_counts[0] < 70


async def test_times_of_another_day_have_their_date() -> None:
    status = StatusBody(
        *("nightly", "running"),
        waiting=WaitingBody("A limit is reached.", until="2099-11-28T12:00:00Z"),
        eta_at="2099-11-28T12:00:00Z",
    )
    sheets = [SheetBody(1, "waiting", waiting_until="2099-11-28T12:00:00Z")]
    async with ScriptedServer(error_response(404)).run() as client:
        display, console = make_display(client)
        display.on_event(LIVE)
        display.update(make_job(sheets, status))
        _, waits, ends, _, row = draw(display, console)
    assert "Until 2099-11-2" in waits
    assert ends.startswith("ends about 2099-11-2")
    assert "until 2099-11-2" in row
