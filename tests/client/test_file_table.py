"""Tests of `files` without a path: the list."""

import io
import json
from typing import Any

import pytest
from aiohttp import web
from rich.console import Console

from marianne_stream.client.api_models import FileBody
from marianne_stream.client.cli_errors import AccessDeniedError, CliError, CliFileNotFoundError
from marianne_stream.client.file_table import make_file_table, print_files
from marianne_stream.client.output import Output
from tests.support.scripted_server import ScriptedServer

REPORT = {
    "path": "report\x1b[2J.md",
    "url_path": "report%1b%5B2J.md",
    "kind": "markdown",
    "size_bytes": 1234,
    "modified_at": "2026-11-28T12:00:00Z",
    "sheets": [1, 2, 3, 4, 5],
}
FOLDER = {"path": "logs", "url_path": "logs", "kind": "folder", "size_bytes": None}
LONG = {"path": f"logs/{'x' * 40}.log", "size_bytes": 1, "modified_at": "2026-11-28T12:00:00Z"}


async def list_files(
    *entries: dict[str, Any], truncated: bool = False, as_json: bool = False, **params: str
) -> tuple[list[str], ScriptedServer]:
    stream = io.StringIO()
    body = {"job_id": "nightly", "entries": entries, "truncated": truncated}
    server = ScriptedServer(lambda: web.json_response(body))
    async with server.run() as client:
        output = Output(stream, environ={})
        assert await print_files(client, output, "nightly", params, as_json=as_json) == 0
    return stream.getvalue().splitlines(), server


async def test_list_shows_time_size_sheets_and_path_without_control_characters() -> None:
    lines, server = await list_files(REPORT, FOLDER, sort="name", limit="100")
    heading, report, folder = (line.split() for line in lines)
    assert heading == ["CHANGED", "SIZE", "SHEETS", "PATH"]
    assert report[2:] == ["1.2", "kB", "1", "2", "3", "4", "…", "report.md"]
    assert folder == ["logs/"]
    (request,) = server.requests
    assert request.path == "/api/jobs/nightly/files"
    assert dict(request.query) == {"sort": "name", "limit": "100"}
    assert server.messages == []


async def test_truncated_list_is_called_so_also_as_json() -> None:
    sentence = "marianne-stream: not all files are listed: use --glob or --depth, or raise"
    for as_json in (False, True):
        _, server = await list_files(FOLDER, truncated=True, as_json=as_json)
        assert server.messages == [f"{sentence} --limit"]


async def test_json_has_an_entry_a_line_as_it_came() -> None:
    lines, _ = await list_files(REPORT, FOLDER, as_json=True)
    assert [json.loads(line) for line in lines] == [REPORT, FOLDER]


async def test_empty_list_says_whether_a_pattern_was_given() -> None:
    assert (await list_files())[1].messages == ["marianne-stream: no files"]
    assert (await list_files(glob="*.md"))[1].messages == ["marianne-stream: no file matches"]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_table_of_files_fits_the_terminal_and_shows_whole_paths(width: int) -> None:
    stream = io.StringIO()
    files = [FileBody(**{key: each[key] for key in each if key != "url_path"}) for each in FILES]
    make_file_table(files, None, width=width).print(Console(file=stream, width=width))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    shown = "".join("".join(line.split()) for line in lines)
    for file in files:
        assert file.path.replace("\x1b[2J", "") in shown
    has_own_column = lines[0].split()[-1] == "PATH"
    assert has_own_column == (width > 80)


FILES: list[dict[str, Any]] = [REPORT, FOLDER, LONG]


@pytest.mark.parametrize(
    ("status", "code", "error_class", "exit_code"),
    [
        (404, "file_not_found", CliFileNotFoundError, 6),
        (404, "files_disabled", CliFileNotFoundError, 6),
        (403, "file_forbidden", AccessDeniedError, 5),
    ],
)
async def test_errors_of_files_have_the_detail_of_the_server(
    status: int, code: str, error_class: type[CliError], exit_code: int
) -> None:
    body = {"detail": "The workspace is a home\x1b[2J folder.", "code": code}
    server = ScriptedServer(lambda: web.json_response(body, status=status))
    async with server.run() as client:
        with pytest.raises(error_class, match=r"^The workspace is a home folder$") as caught:
            await print_files(client, Output(io.StringIO()), "nightly", {}, as_json=False)
    assert caught.value.exit_code == exit_code


async def test_redirect_of_an_edge_names_the_origin_and_is_not_followed() -> None:
    location = {"Location": "https://origin.example/api/here/api/jobs/nightly/files?sort=a/b"}
    server = ScriptedServer(lambda: web.Response(status=307, headers=location))
    async with server.run(token="t" * 20) as client:
        with pytest.raises(CliError, match=r"only https://origin.example/api/here has") as caught:
            await print_files(client, Output(io.StringIO()), "nightly", {}, as_json=False)
    assert caught.value.exit_code == 1
    assert len(server.requests) == 1


@pytest.mark.parametrize("location", ["https://sso.example/login?next=/api/jobs", "/login", ""])
async def test_redirect_of_another_service_names_no_origin(location: str) -> None:
    server = ScriptedServer(lambda: web.Response(status=307, headers={"Location": location}))
    async with server.run(token="t" * 20) as client:
        with pytest.raises(CliError, match=r"answered 307$"):
            await print_files(client, Output(io.StringIO()), "nightly", {}, as_json=False)
