"""Text files of a workspace, followed and paged as a log is."""

import gzip
import json
from pathlib import Path

import pytest

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.log_files import append_lines
from tests.support.log_lines import numbered_lines
from tests.web.conftest import Client, OpenStream, read_error_code

STREAM = "/api/jobs/lantern/file-stream"
LINES = "/api/jobs/lantern/file-lines"


@pytest.fixture
def output(log_path: Path) -> Path:
    """Return the path of a sheet's output in the workspace of a running job."""
    path = log_path.parent / "logs" / "sheet-01.stdout.log"
    path.parent.mkdir()
    return path


async def test_file_is_followed_to_the_end_of_the_job(
    output: Path, open_stream: OpenStream, conductor: SimulatedConductor
) -> None:
    append_lines(output, "one", "two")
    async with open_stream(f"{STREAM}/logs/sheet-01.stdout.log") as viewer:
        await viewer.wait_for("log", 2)
        append_lines(output, "three")
        await viewer.wait_for("log", 3)
        assert numbered_lines(viewer) == [(1, "one"), (2, "two"), (3, "three")]
        conductor.finish("lantern", "completed")
        await viewer.wait_for("log_complete")
        await viewer.wait_ended()


async def test_stream_resumes_after_rotation_and_repeats_no_line(
    output: Path, open_stream: OpenStream
) -> None:
    append_lines(output, "one")
    url = f"{STREAM}/logs/sheet-01.stdout.log"
    async with open_stream(url) as viewer:
        await viewer.wait_for("log")
    append_lines(output, "two")
    output.rename(output.with_name("sheet-01.stdout.log.1"))
    append_lines(output, "three")
    async with open_stream(url, last_event_id=viewer.last_event_id) as viewer:
        await viewer.wait_for("log", 2)
        assert [line for _, line in numbered_lines(viewer)] == ["two", "three"]
        assert viewer.event_data("log_rotated")[0]["log_file"] == "logs/sheet-01.stdout.log"


async def test_stream_waits_for_a_file_if_asked(
    output: Path, client: Client, open_stream: OpenStream
) -> None:
    path = f"{STREAM}/logs/sheet-01.stdout.log"
    assert await read_error_code(await client.get(path)) == (404, "file_not_found")
    async with open_stream(f"{path}?wait=true") as viewer:
        await viewer.wait_for("log_missing")
        append_lines(output, "here")
        await viewer.wait_for("log")


async def test_pages_of_a_file_lead_to_its_stream(
    output: Path, client: Client, open_stream: OpenStream
) -> None:
    append_lines(output, *(f"line {n}" for n in range(1, 31)))
    path = "logs/sheet-01.stdout.log"
    response = await client.get(f"{LINES}/{path}", params={"limit": "10"})
    page = await response.json()
    assert [line["line_number"] for line in page["lines"]] == list(range(21, 31))
    assert page["log_file"] == path
    older = await client.get(f"{LINES}/{path}", params={"before": page["before"], "limit": "100"})
    assert len((await older.json())["lines"]) == 20
    append_lines(output, "line 31")
    async with open_stream(f"{STREAM}/{path}", last_event_id=page["after"]) as viewer:
        await viewer.wait_for("log")
        assert numbered_lines(viewer) == [(31, "line 31")]
    found = await client.get(f"{LINES}/{path}", params={"contains": "line 3"})
    assert [line["line_number"] for line in (await found.json())["lines"]] == [3, 30, 31]


async def test_compressed_file_is_paged_by_its_text(output: Path, client: Client) -> None:
    output.with_suffix(".gz").write_bytes(gzip.compress(b"one\ntwo\n"))
    response = await client.get(f"{LINES}/logs/sheet-01.stdout.gz")
    assert [line["line"] for line in (await response.json())["lines"]] == ["one", "two"]


async def test_excluded_file_is_not_followed_under_its_rotated_name(
    output: Path, client: Client
) -> None:
    append_lines(output.with_name("server.key"), "secret")
    for base in (STREAM, LINES):
        for name in ("server.key", "SERVER.KEY/../server.key", "%73erver.key"):
            response = await client.get(f"{base}/logs/{name}")
            text = await response.text()
            assert response.status in (403, 404), text
            assert "secret" not in text


async def test_file_replaced_by_a_link_ends_its_stream_without_the_target(
    output: Path, tmp_path: Path, open_stream: OpenStream
) -> None:
    append_lines(output, "mine")
    append_lines(tmp_path / "other", "not mine")
    async with open_stream(f"{STREAM}/logs/sheet-01.stdout.log") as viewer:
        await viewer.wait_for("log")
        output.unlink()
        output.symlink_to(tmp_path / "other")
        append_lines(tmp_path / "other", "not mine either")
        output.unlink()
        append_lines(output, "mine again")
        await viewer.wait_for("log", 2)
        assert "not mine" not in json.dumps(viewer.event_data("log", "log_partial"))
