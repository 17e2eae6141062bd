"""Log as a file: information, text, and the raw file with ranges."""

import json
import os
from pathlib import Path

import pytest
from aiohttp import ClientPayloadError

from marianne_stream.app import create_app
from marianne_stream.config.settings import Settings
from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.logs.snapshot import FileBlockReader
from tests.support.log_files import append_lines
from tests.support.log_lines import LOGS, expect_lines, numbered_lines
from tests.web.conftest import Client, OpenStream


async def test_log_info_has_size_lines_and_cursor(
    log_path: Path, open_stream: OpenStream, client: Client
) -> None:
    append_lines(log_path, *(f"line {n}" for n in range(1, 46)))
    info = await (await client.get(f"{LOGS}/info")).json()
    assert info["job_id"] == "lantern"
    assert info["log_file"] == "marianne.log"
    assert info["source"] == "job"
    assert info["size_bytes"] == log_path.stat().st_size
    assert info["lines"] == 45
    assert info["last_modified"].endswith("Z")
    append_lines(log_path, "line 46")
    async with open_stream(LOGS, last_event_id=info["cursor"]) as viewer:
        await expect_lines(viewer, "line 46")
        assert numbered_lines(viewer) == [(46, "line 46")]


async def test_log_info_of_empty_log_has_cursor(
    log_path: Path, open_stream: OpenStream, client: Client
) -> None:
    log_path.touch()
    info = await (await client.get(f"{LOGS}/info")).json()
    assert (info["size_bytes"], info["lines"]) == (0, 0)
    append_lines(log_path, *(f"line {n}" for n in range(1, 201)))
    async with open_stream(LOGS, last_event_id=info["cursor"]) as viewer:
        await expect_lines(viewer, *(f"line {n}" for n in range(1, 201)))


async def test_log_text_has_header(log_path: Path, client: Client) -> None:
    append_lines(log_path, *("x" * 99 for _ in range(126)))
    answer = await client.get(f"{LOGS}/static")
    assert answer.headers["Content-Disposition"] == "attachment; filename=marianne-lantern-logs.txt"
    assert answer.content_type == "text/plain"
    head, _, text = (await answer.text()).partition("\n\n")
    first, generated, file, size, rule = head.split("\n")
    assert first == "# Marianne Job Logs - Job ID: lantern"
    assert generated.startswith("# Generated: 20")
    assert file == "# File: marianne.log"
    assert size == "# Size: 12.3 KB, 126 lines"
    assert rule == "# " + "=" * 60
    assert text == log_path.read_text()


async def test_download_filename_of_unusual_job_id_is_encoded(
    conductor: SimulatedConductor, client: Client, tmp_path: Path
) -> None:
    (workspace := tmp_path / "w").mkdir()
    conductor.launch('nächt "1"', 1, workspace=str(workspace))
    append_lines(workspace / "marianne.log", "one")
    answer = await client.get("/api/jobs/n%C3%A4cht%20%221%22/logs/static")
    assert answer.headers["Content-Disposition"] == (
        "attachment; filename=marianne-n_cht__1_-logs.txt; "
        "filename*=UTF-8''marianne-n%C3%A4cht%20%221%22-logs.txt"
    )


async def test_log_text_above_size_limit_is_rejected(
    log_path: Path, settings: Settings, aiohttp_client: object
) -> None:
    append_lines(log_path, "x" * 1_600_000)
    limited = settings.model_copy(update={"max_download_bytes": 1024 * 1024})
    client = await aiohttp_client(create_app(limited))  # type: ignore[operator]
    answer = await client.get(f"{LOGS}/static")
    assert answer.status == 413
    assert (await answer.json())["detail"] == (
        "Log file too large for download: 1.5 MB (limit 1 MB). Use the streaming endpoint instead."
    )


async def test_raw_log_has_ranges_and_etag(log_path: Path, client: Client) -> None:
    append_lines(log_path, "one", "two")
    answer = await client.get(f"{LOGS}/raw")
    assert await answer.read() == b"one\ntwo\n"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.content_type == "text/plain"
    part = await client.get(f"{LOGS}/raw", headers={"Range": "bytes=4-6"})
    assert (part.status, await part.read()) == (206, b"two")
    known = {"If-None-Match": answer.headers["ETag"]}
    assert (await client.get(f"{LOGS}/raw", headers=known)).status == 304
    head = await client.head(f"{LOGS}/raw")
    assert (head.headers["Content-Length"], await head.read()) == ("8", b"")


def write_conductor_log(path: Path) -> None:
    with path.open("a", encoding="utf-8") as file:
        for n in range(1, 4):
            for fields in (
                {"event": f"mine {n}", "job_id": "lantern"},
                {"event": "of nobody"},
                {"event": "secret", "job_id": "other"},
                {"event": f"also mine {n}", "extra": {"job_id": "lantern"}},
            ):
                file.write(json.dumps(fields) + "\n")
            file.write("no json, lantern job_id\n")


@pytest.mark.parametrize("source", ["conductor", None])
async def test_raw_conductor_log_has_lines_of_the_job_only(
    log_path: Path, settings: Settings, aiohttp_client: object, tmp_path: Path, source: str | None
) -> None:
    assert not log_path.exists()
    (folder := tmp_path / "var").mkdir()
    write_conductor_log(folder / "conductor.log")
    named = settings.model_copy(update={"conductor_log": folder / "conductor.log"})
    client = await aiohttp_client(create_app(named))  # type: ignore[operator]
    params = {"source": source} if source is not None else {}
    raw = await (await client.get(f"{LOGS}/raw", params=params)).text()
    assert len(raw.splitlines()) == 6
    assert "secret" not in raw
    assert "nobody" not in raw
    info = await (await client.get(f"{LOGS}/info", params=params)).json()
    assert (info["source"], info["lines"], info["size_bytes"]) == ("conductor", 6, len(raw))
    static = await (await client.get(f"{LOGS}/static", params=params)).text()
    assert static.endswith("\n\n" + raw)
    stream = await client.get(
        LOGS, params={**params, "follow": "false", "tail_lines": "2", "wait": "false"}
    )
    text = await stream.text()
    assert '"line_number":5' in text
    assert '"line_number":6' in text
    assert text.count("event: log\n") == 2
    assert text.count('"source":"conductor"') == 2
    assert (await client.get(f"{LOGS}/info", params={"source": "job"})).status == 404


async def test_conductor_log_in_console_format_has_run_marks(
    log_path: Path, settings: Settings, aiohttp_client: object, tmp_path: Path
) -> None:
    assert not log_path.exists()
    path = tmp_path / "conductor.log"
    submitted = (
        "2026-11-28T05:00:00Z [\x1b[32minfo     \x1b[0m] job.submitted [daemon] job_id=lantern"
    )
    append_lines(
        path,
        submitted,
        "2026-11-28T05:00:01Z [info     ] job.submitted [daemon] job_id=other",
        "2 changes detected",
        "2026-11-28T05:00:02Z [error    ] sheet.failed [baton] extra={'job_id': 'lantern'}",
    )
    named = settings.model_copy(update={"conductor_log": path})
    client = await aiohttp_client(create_app(named))  # type: ignore[operator]
    told = await (await client.get(f"{LOGS}/lines")).json()
    assert told["source"] == "conductor"
    lines = told["lines"]
    assert [line["line"] == submitted for line in lines] == [True, False]
    assert [line.get("begins_run") for line in lines] == [True, None]
    assert [line["level"] for line in lines] == ["info", "error"]
    stream = await (await client.get(LOGS, params={"follow": "false"})).text()
    assert stream.count('"source":"conductor","begins_run":true}') == 1
    assert stream.count('"source":"conductor"}') == 1


@pytest.mark.parametrize("fate", ["cut", "removed"])
async def test_log_text_of_truncated_file_is_whole_or_ends_early(
    log_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch, fate: str
) -> None:
    append_lines(log_path, *("x" * 99 for _ in range(20_000)))
    read = FileBlockReader.read_block

    def late(text: FileBlockReader) -> bytes:
        block = read(text)
        if fate == "cut":
            os.truncate(log_path, 0)
        else:
            log_path.unlink(missing_ok=True)
        return block

    monkeypatch.setattr(FileBlockReader, "read_block", late)
    answer = await client.get(f"{LOGS}/static")
    if fate == "removed":
        assert (await answer.text()).partition("\n\n")[2] == ("x" * 99 + "\n") * 20_000
    else:
        with pytest.raises(ClientPayloadError):
            await answer.read()
    assert (await client.get("/health")).status == 200


@pytest.fixture
async def etag(log_path: Path, client: Client) -> str:
    """Return the entity tag of a log of ten bytes."""
    log_path.write_bytes(b"0123456789")
    answer = await client.get(f"{LOGS}/raw")
    assert answer.headers["Accept-Ranges"] == "bytes"
    return answer.headers["ETag"]


@pytest.mark.parametrize(
    ("asked", "status", "content_range", "body"),
    [
        ("bytes=2-4", 206, "bytes 2-4/10", b"234"),
        ("bytes=7-", 206, "bytes 7-9/10", b"789"),
        ("bytes=7-99", 206, "bytes 7-9/10", b"789"),
        ("bytes=-3", 206, "bytes 7-9/10", b"789"),
        ("bytes=-99", 206, "bytes 0-9/10", b"0123456789"),
        ("Bytes=0-0", 206, "bytes 0-0/10", b"0"),
        ("bytes=10-", 416, "bytes */10", None),
        ("bytes=-0", 416, "bytes */10", None),
        ("bytes=4-2", 200, None, b"0123456789"),
        ("bytes=-", 200, None, b"0123456789"),
        ("bytes=a-b", 200, None, b"0123456789"),
        ("bytes=0-1,4-5", 200, None, b"0123456789"),
        ("lines=0-1", 200, None, b"0123456789"),
        ("bytes=" + "9" * 5000 + "-", 200, None, b"0123456789"),
    ],
)
@pytest.mark.usefixtures("etag")
async def test_range_response_follows_rfc_9110(
    client: Client, asked: str, status: int, content_range: str | None, body: bytes | None
) -> None:
    answer = await client.get(f"{LOGS}/raw", headers={"Range": asked})
    assert (answer.status, answer.headers.get("Content-Range")) == (status, content_range)
    if body is None:
        assert (await answer.json())["code"] == "http_error"
    else:
        assert await answer.read() == body


async def test_if_range_sends_range_of_same_version_only(client: Client, etag: str) -> None:
    modified = (await client.head(f"{LOGS}/raw")).headers["Last-Modified"]
    others = ('"another"', f"W/{etag}", "Thu, 01 Jan 1970 00:00:00 GMT", "no date")
    for validator, status in ((etag, 206), (modified, 206), *((other, 200) for other in others)):
        headers = {"Range": "bytes=2-4", "If-Range": validator}
        answer = await client.get(f"{LOGS}/raw", headers=headers)
        assert (validator, answer.status) == (validator, status)
        assert await answer.read() == (b"234" if status == 206 else b"0123456789")


async def test_preconditions_precede_range(client: Client, etag: str) -> None:
    for headers, status in (
        ({"If-Match": etag}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": '"another"'}, 412),
        ({"If-None-Match": f"W/{etag}"}, 304),
        ({"If-None-Match": '"another"', "If-Modified-Since": "Tue, 01 Jan 2999 00:00:00 GMT"}, 200),
        ({"If-Modified-Since": "Tue, 01 Jan 2999 00:00:00 GMT"}, 304),
        ({"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:01 GMT"}, 412),
    ):
        answer = await client.get(f"{LOGS}/raw", headers={"Range": "bytes=99-", **headers})
        assert (headers, answer.status) == (headers, 416 if status == 200 else status)
