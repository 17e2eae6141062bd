"""A job's log as a file: info, as a text to keep, raw; of the conductor's log, the job's lines."""

import json
import os
from pathlib import Path

import pytest
from aiohttp import ClientPayloadError

from marianne_stream.app import create_app
from marianne_stream.demo.conductor import SimulatedConductor
from marianne_stream.logs.parts import WholeText
from marianne_stream.settings import Settings
from tests.web.conftest import Client, Watch
from tests.web.test_log_stream import LOGS, append, has, lines_of


async def test_info_tells_the_size_the_lines_and_where_to_go_on(
    log: Path, watch: Watch, client: Client
) -> None:
    append(log, *(f"line {n}" for n in range(1, 46)))
    info = await (await client.get(f"{LOGS}/info")).json()
    assert info["job_id"] == "lantern"
    assert info["log_file"] == "marianne.log"
    assert info["source"] == "job"
    assert info["size_bytes"] == log.stat().st_size
    assert info["lines"] == 45
    assert info["last_modified"].endswith("Z")
    append(log, "line 46")
    async with watch(LOGS, last_event_id=info["cursor"]) as viewer:
        await has(viewer, "line 46")
        assert lines_of(viewer) == [(46, "line 46")]


async def test_info_of_an_empty_log_is_a_place_to_stream_from(
    log: Path, watch: Watch, client: Client
) -> None:
    log.touch()
    info = await (await client.get(f"{LOGS}/info")).json()
    assert (info["size_bytes"], info["lines"]) == (0, 0)
    append(log, *(f"line {n}" for n in range(1, 201)))
    async with watch(LOGS, last_event_id=info["cursor"]) as viewer:
        await has(viewer, *(f"line {n}" for n in range(1, 201)))


async def test_the_text_is_headed_by_what_it_is(log: Path, client: Client) -> None:
    append(log, *("x" * 99 for _ in range(126)))
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
    assert text == log.read_text()


async def test_a_job_id_that_a_header_cannot_hold_is_encoded(
    conductor: SimulatedConductor, client: Client, tmp_path: Path
) -> None:
    (workspace := tmp_path / "w").mkdir()
    conductor.launch('nächt "1"', 1, workspace=str(workspace))
    append(workspace / "marianne.log", "one")
    answer = await client.get("/api/jobs/n%C3%A4cht%20%221%22/logs/static")
    assert answer.headers["Content-Disposition"] == (
        "attachment; filename=marianne-n_cht__1_-logs.txt; "
        "filename*=UTF-8''marianne-n%C3%A4cht%20%221%22-logs.txt"
    )


async def test_a_log_above_the_limit_is_not_given_as_a_text(
    log: Path, settings: Settings, aiohttp_client: object
) -> None:
    append(log, "x" * 1_600_000)
    limited = settings.model_copy(update={"download_limit_bytes": 1024 * 1024})
    client = await aiohttp_client(create_app(limited))  # type: ignore[operator]
    answer = await client.get(f"{LOGS}/static")
    assert answer.status == 413
    assert (await answer.json())["detail"] == (
        "Log file too large for download: 1.5 MB (limit 1 MB). Use the streaming endpoint instead."
    )


async def test_raw_is_the_file_with_ranges_and_an_etag(log: Path, client: Client) -> None:
    append(log, "one", "two")
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
async def test_of_the_conductors_log_only_the_jobs_lines_are_given(
    log: Path, settings: Settings, aiohttp_client: object, tmp_path: Path, source: str | None
) -> None:
    assert not log.exists()
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
    assert (await client.get(f"{LOGS}/info", params={"source": "job"})).status == 404


@pytest.mark.parametrize("fate", ["cut", "removed"])
async def test_a_text_whose_file_is_lost_meanwhile_is_whole_or_ends_before_its_time(
    log: Path, client: Client, monkeypatch: pytest.MonkeyPatch, fate: str
) -> None:
    append(log, *("x" * 99 for _ in range(20_000)))
    read = WholeText.next

    def late(text: WholeText) -> bytes:
        block = read(text)
        if fate == "cut":
            os.truncate(log, 0)
        else:
            log.unlink(missing_ok=True)
        return block

    monkeypatch.setattr(WholeText, "next", late)
    answer = await client.get(f"{LOGS}/static")
    if fate == "removed":
        assert (await answer.text()).partition("\n\n")[2] == ("x" * 99 + "\n") * 20_000
    else:
        with pytest.raises(ClientPayloadError):
            await answer.read()
    assert (await client.get("/health")).status == 200
