"""Tests of `logs --sheet`: the time of a sheet."""

import io
from typing import Any

import pytest
from aiohttp import web

from marianne_stream.client.cli_errors import CliError
from marianne_stream.client.job_selection import JobSelection
from marianne_stream.client.log_query import LogQuery, resolve_sheet
from marianne_stream.client.merged_logs import print_logs
from marianne_stream.client.output import Output
from tests.support.scripted_server import ScriptedServer

QUERY = LogQuery("nightly", 10, sheet=1)

UNKNOWN_START = "the start of sheet 1 is unknown, so its lines cannot be told from others"


def serve_sheet(**sheet: Any) -> ScriptedServer:
    return ScriptedServer(lambda: web.json_response({"number": 1, **sheet}))


@pytest.mark.parametrize(
    "sheet",
    [
        {"status": "dispatched", "attempt": 1},
        {"status": "completed", "attempt": 1, "completed_at": "2026-11-28T12:00:00Z"},
        {"status": "pending", "failed_attempts": 2},
        {"status": "stopped"},
    ],
)
async def test_sheet_with_an_unknown_start_is_not_called_unstarted(sheet: dict[str, Any]) -> None:
    server = serve_sheet(**sheet)
    async with server.run() as client:
        with pytest.raises(CliError, match=UNKNOWN_START) as caught:
            await resolve_sheet(client, QUERY)
    assert caught.value.exit_code == 1
    assert server.messages == []


@pytest.mark.parametrize("status", ["pending", "ready", "skipped", "cancelled"])
async def test_sheet_that_has_not_started_is_called_so(status: str) -> None:
    server = serve_sheet(status=status)
    async with server.run() as client:
        assert await resolve_sheet(client, QUERY) is None
    assert server.messages == ["marianne-stream: nightly: sheet 1 has not started"]


async def test_unknown_start_names_its_job_if_there_are_several() -> None:
    server, output = serve_sheet(status="dispatched"), Output(io.StringIO(), environ={})
    jobs = JobSelection(("nightly", "weekly"))
    async with server.run() as client:
        assert await print_logs(client, output, QUERY, jobs, as_json=False) == 1
    assert sorted(server.messages) == [
        f"marianne-stream: nightly: {UNKNOWN_START}",
        f"marianne-stream: weekly: {UNKNOWN_START}",
    ]
