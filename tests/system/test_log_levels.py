"""Levels, entries and searches of logs agree with what is displayed."""

import asyncio
import gzip
import json
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.log_files import append_bytes
from tests.support.processes import ManagedProcess, run_server
from tests.support.terminals import run_command
from tests.support.viewers import open_viewer
from tests.support.waiting import wait_until

LOGS = "/api/jobs/logged/logs"

TRACEBACK = ["Traceback (most recent call last):", '  File "x.py", line 7', "ValueError: no tide"]


async def fetch_lines(address: str, **params: str) -> list[dict[str, Any]]:
    """Return the lines of a page."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{address}{LOGS}/lines", params=params) as answer,
    ):
        assert answer.status == 200, await answer.text()
        lines: list[dict[str, Any]] = (await answer.json())["lines"]
        return lines


async def test_first_line_after_a_hole_is_shown(server: ManagedProcess, log_path: Path) -> None:
    append_bytes(log_path, b"before the cut\n")
    url = server.address + LOGS
    async with aiohttp.ClientSession() as session, open_viewer(session, url) as viewer:
        await viewer.wait_for("log")
        with log_path.open("r+b") as file:
            file.truncate(0)
            # The writer continues at its old offset.
            file.seek(70_000)
            file.write(b"FIRST\nsecond\n")
        await viewer.wait_for("log", 3)
    shown = [(data["line"], data["line_number"]) for data in viewer.event_data("log")[1:]]
    assert shown == [("FIRST", 1), ("second", 2)]
    assert [line["line"] for line in await fetch_lines(server.address)] == ["FIRST", "second"]


async def test_level_is_the_same_in_streams_pages_and_filters(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    lines = {
        "[error    ] structlog": "error",
        "\x1b[31mERROR \x1b[0m in colour": "error",
        "2026-11-28T05:00:00.5+01:00 [CRIT] x": "critical",
        '{"levelname": "WARNING", "event": "x"}': "warning",
        '{"lvl": "err", "event": "x"}': "error",
        '{"level": 50, "time": 1795461862560, "msg": "pino"}': "error",
        '{"levelno": 20, "message": "logging"}': "info",
        "[info] nothing of an error": "info",
    }
    append_bytes(log_path, "".join(f"{line}\n" for line in lines).encode())
    url = server.address + LOGS
    async with aiohttp.ClientSession() as session, open_viewer(session, url) as viewer:
        await viewer.wait_for("log", len(lines))
    told = viewer.event_data("log")
    assert {data["line"]: data["level"] for data in told} == lines
    assert [data.get("logged_at") for data in told][2:6] == [
        *("2026-11-28T05:00:00.5+01:00", None, None, "2026-11-23T19:24:22.560Z"),
    ]
    paged = await fetch_lines(server.address)
    for field in ("line", "level", "logged_at"):
        assert [line.get(field) for line in paged] == [data.get(field) for data in told]
    grave = [line for line, level in lines.items() if level in ("error", "critical")]
    assert [line["line"] for line in await fetch_lines(server.address, level="error")] == grave
    async with (
        aiohttp.ClientSession() as session,
        open_viewer(session, url, level="error") as viewer,
    ):
        await viewer.wait_for("log", len(grave))
    assert [data["line"] for data in viewer.event_data("log")] == grave
    printed = await run_command(
        *(tmp_path, "logs", "logged", "--level", "critical", "--url", server.address)
    )
    assert printed.lines == ["2026-11-28T05:00:00.5+01:00 [CRIT] x"]


async def test_traceback_belongs_to_the_entry_before_it(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    entry = ["2026-11-28T05:00:00Z [error    ] sheet 2 failed", *TRACEBACK]
    append_bytes(log_path, "\n".join(["[info] a", *entry, "[info] b", ""]).encode())
    url = server.address + LOGS
    async with (
        aiohttp.ClientSession() as session,
        open_viewer(session, url, level="error") as viewer,
    ):
        await viewer.wait_for("log", 4)
        # The same for new lines, each written separately.
        for line in ("[info] c", *entry, "[info] d"):
            append_bytes(log_path, f"{line}\n".encode())
            await asyncio.sleep(0.02)
        await viewer.wait_for("log", 8)
    assert [data["line"] for data in viewer.event_data("log")] == entry * 2
    found = await fetch_lines(server.address, level="error", limit="4", context="1")
    assert [(line["line"], line["match"]) for line in found] == [
        ("[info] c", False),
        (entry[0], True),
        *((line, False) for line in TRACEBACK),
        ("[info] d", False),
    ]
    address = ("--url", server.address)
    printed = await run_command(tmp_path, "logs", "logged", "--level", "error", *address)
    assert printed.lines == entry * 2
    printed = await run_command(
        tmp_path, "logs", "logged", "--grep", "sheet 2", "-C", "0", *address
    )
    assert printed.lines == [*entry, "--", *entry]


async def test_partial_line_belongs_to_its_entry(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    append_bytes(log_path, b"[error] a\nTraceback:\n  unfinished")
    address = f"{server.address}{LOGS}/lines"
    async with (
        aiohttp.ClientSession() as session,
        session.get(address, params={"level": "error"}) as answer,
    ):
        page = await answer.json()
    assert page["partial"] == {"line": "  unfinished", "line_number": 3}
    printed = await run_command(
        *(tmp_path, "logs", "logged", "--level", "error", "--url", server.address)
    )
    assert printed.lines == ["[error] a", "Traceback:", "  unfinished"]
    append_bytes(log_path, b"\n[info] b\nunfinished")
    assert [line["line"] for line in await fetch_lines(server.address, level="error")][-1:] == [
        "  unfinished"
    ]
    printed = await run_command(
        *(tmp_path, "logs", "logged", "--level", "error", "--url", server.address)
    )
    assert printed.lines[-1] == "  unfinished"


async def test_search_matches_displayed_text(
    server: ManagedProcess, log_path: Path, tmp_path: Path
) -> None:
    lines = ["sheet \x1b[1m7\x1b[0m begins", '{"event": "caf\\u00e9 says \\"no\\""}', "last"]
    append_bytes(log_path, b"\xef\xbb\xbf" + "\n".join([*lines, ""]).encode())

    async def found(**search: str) -> list[str]:
        return [line["line"] for line in await fetch_lines(server.address, **search)]

    assert await found(regex="^sheet 7 begins$") == lines[:1]
    assert await found(contains="1m") == []
    assert await found(contains='café says "no"') == lines[1:2]
    assert await found() == lines
    logs = partial(run_command, tmp_path, "logs", "logged", "--url", server.address)
    for pattern, shown in (
        ("^sheet 7 begins$", ["sheet 7 begins"]),
        ('café says "no"', lines[1:2]),
        ("1m", []),
    ):
        assert (await logs("--grep", pattern)).lines == shown


async def test_conductor_log_in_console_format_is_recognized(
    conductor: SimulatedConductor, tmp_path: Path
) -> None:
    path = tmp_path / "conductor.log"
    lines = [
        "2026-11-28T05:00:00Z [\x1b[32minfo     \x1b[0m] job.submitted [daemon] job_id=told",
        "2026-11-28T05:00:01Z [info     ] sheet.begun [baton] extra={'job_id': 'told'}",
    ]
    other = "2026-11-28T05:00:01Z [info     ] x [baton] job_id=other msg='job_id=told'"
    append_bytes(path, "\n".join([lines[0], other, "2 changes detected", lines[1], ""]).encode())
    conductor.launch("told", 2, workspace=str(tmp_path / "nowhere"))
    async with run_server(tmp_path, "--conductor-log", path) as running:
        url = f"{running.address}/api/jobs/told/logs"
        async with aiohttp.ClientSession() as session, open_viewer(session, url) as viewer:
            await wait_until(lambda: viewer.event_counts["log"] == 2)
        assert [(data["line"], data["source"]) for data in viewer.event_data("log")] == [
            (line, "conductor") for line in lines
        ]
        assert [data.get("begins_run") for data in viewer.event_data("log")] == [True, None]
        logs = partial(run_command, tmp_path, "logs", "--url", running.address, "told")
        printed = await logs()
        several = await logs("none")
        matches = await logs("--grep", "begun", "-C", "1")
        (match,) = (await logs("--grep", "begun", "-C", "0", "--json")).lines
    sentence = "the job has no log of its own: these are its lines of the conductor's log\n"
    assert (len(printed.lines), printed.stderr) == (2, f"marianne-stream: {sentence}")
    assert (len(matches.lines), matches.stderr) == (2, f"marianne-stream: {sentence}")
    assert json.loads(match)["data"]["source"] == "conductor"
    assert len(several.lines) == 2
    assert f"marianne-stream: told: {sentence}" in several.stderr


async def test_partial_line_that_fails_the_filter_later_is_withdrawn(
    server: ManagedProcess, log_path: Path
) -> None:
    append_bytes(log_path, b"one\n")
    url = server.address + LOGS
    async with (
        aiohttp.ClientSession() as session,
        open_viewer(session, url, contains="foo") as viewer,
    ):
        append_bytes(log_path, b"foo 10 %")
        assert (await viewer.wait_for("log_partial"))["line"] == "foo 10 %"
        append_bytes(log_path, b"\rbar 20 %")
        assert (await viewer.wait_for("log_partial", 2))["line"] == ""
        append_bytes(log_path, b"\rfoo 30 %")
        assert (await viewer.wait_for("log_partial", 3))["line"] == "foo 30 %"
        append_bytes(log_path, b"\rdone\n")
        assert (await viewer.wait_for("log_partial", 4))["line"] == ""
        append_bytes(log_path, b"foo is over\n")
        assert (await viewer.wait_for("log"))["line"] == "foo is over"


async def test_entry_does_not_continue_across_rotated_files(
    server: ManagedProcess, log_path: Path
) -> None:
    older = b"  the first line of all\nINFO x\n"
    newer = b"INFO a\nERROR newer\n  its traceback\n"
    log_path.with_name("marianne.log.2.gz").write_bytes(gzip.compress(older))
    log_path.with_name("marianne.log.1.gz").write_bytes(gzip.compress(newer))
    append_bytes(log_path, b"INFO now\n")
    for end in ("end", "start"):
        found = await fetch_lines(server.address, level="error", **{"from": end})
        assert [line["line"] for line in found] == ["ERROR newer", "  its traceback"]
