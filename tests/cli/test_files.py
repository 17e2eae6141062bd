"""Tests of the options of `files`."""

from argparse import Namespace
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from aiohttp import web

from marianne_stream.cli import files
from marianne_stream.cli.commands import make_parser
from marianne_stream.errors import SettingsError
from tests.support.scripted_server import LOG_COMPLETE, make_log_frame, stream_response
from tests.support.terminals import CompletedCommand, run_command


def parse(*arguments: str) -> Namespace:
    return make_parser("files", files).parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nightly", "-f"), "--follow needs a PATH"),
        (("nightly", "-n", "0"), "--lines needs a PATH"),
        (("nightly", "--since-cursor", "x"), "--since-cursor needs a PATH"),
        (("nightly", "a", "--glob", "*"), "--glob cannot be given with a PATH"),
        (("nightly", "a", "--hidden"), "--hidden cannot be given with a PATH"),
        (("nightly", "a", "--limit", "1", "-f"), "--limit cannot be given with a PATH"),
        (("nightly", "a", "-f", "--sheet", "1"), "--sheet cannot be given with -f"),
        (("a/b",), "a job id must have"),
    ],
)
def test_options_that_exclude_each_other_are_an_error(
    arguments: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence):
        files.run(parse(*arguments))


@pytest.mark.parametrize("arguments", [("--depth", "33"), ("--limit", "0"), ("--sort", "size")])
def test_values_outside_their_range_exit_2(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse("nightly", *arguments)


async def run_files(tmp_path: Path, *arguments: str) -> tuple[CompletedCommand, web.BaseRequest]:
    """Run the command against a server, and return its end and the request."""
    requests: list[web.BaseRequest] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        requests.append(request)
        if request.path.endswith("/files"):
            return web.json_response({"entries": []})
        if "/file-stream/" in request.path:
            return stream_response(make_log_frame(1), LOG_COMPLETE)()
        return web.Response(text="body\n")

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        url = "http://127.0.0.1:{1}".format(*runner.addresses[0])
        ended = await run_command(tmp_path, "files", *arguments, "--url", url)
    finally:
        await runner.cleanup()
    (request,) = requests
    return ended, request


async def test_list_options_are_parameters(tmp_path: Path) -> None:
    ended, request = await run_files(tmp_path, "nightly")
    assert ended == CompletedCommand(0, "", "marianne-stream: no files\n")
    assert (request.path, dict(request.query)) == ("/api/jobs/nightly/files", {"limit": "100"})
    options = ("--sort", "name", "--glob", "L*", "--hidden", "--depth", "2", "--limit", "7")
    ended, request = await run_files(tmp_path, "nightly", *options)
    expected = {"sort": "name", "glob": "L*", "hidden": "true", "depth": "2", "limit": "7"}
    assert dict(request.query) == expected


@pytest.mark.parametrize("path", ["a b/100%?#é.md", "caf\udce9", r"caf\xe9", "a/../b", "./a//b"])
async def test_path_is_sent_byte_by_byte(tmp_path: Path, path: str) -> None:
    ended, request = await run_files(tmp_path, "nightly", path)
    assert ended == CompletedCommand(0, "body\n", "")
    expected = path.replace(r"\xe9", "\udce9").encode("utf-8", "surrogateescape")
    sent = request.raw_path.removeprefix("/api/jobs/nightly/files/")
    assert unquote_to_bytes(sent) == expected


@pytest.mark.parametrize("options", [("-f",), ("-n", "0"), ("--level", "error"), ("--json",)])
async def test_options_for_lines_read_the_stream_of_the_file(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    ended, request = await run_files(tmp_path, "nightly", "a b", *options)
    assert ended.exit_code == 0
    assert ended.lines[0].startswith('{"event":"log"' if options == ("--json",) else "1")
    assert request.raw_path.split("?")[0] == "/api/jobs/nightly/file-stream/a%20b"
    assert request.query["follow"] == ("true" if options == ("-f",) else "false")
    assert request.query["tail_lines"] == ("0" if "-n" in options else "100")
    assert request.query.get("level", "") == ("error" if "--level" in options else "")
