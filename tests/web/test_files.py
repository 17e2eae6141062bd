"""Files of a job's workspace over HTTP: the list, and one of them."""

import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from yarl import URL

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from marianne_stream.schemas.file_schemas import FileListData
from tests.web.conftest import BEARER, NARROW, NARROWED, WHOLE, Client, OpenStream, read_error_code

FILES = "/api/jobs/lantern/files"

Start = Callable[..., Awaitable[Client]]


def write(path: Path, text: str = "text\n", *, modified_s: float | None = None) -> Path:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if modified_s is not None:
        os.utime(path, (modified_s, modified_s))
    return path


async def list_paths(client: Client, **query: str) -> list[str]:
    """Return the paths of a list."""
    response = await client.get(FILES, params=query)
    assert response.status == 200, await response.text()
    return [entry["path"] for entry in (await response.json())["entries"]]


@pytest.fixture
def workspace(log_path: Path) -> Path:
    """Return the workspace of a running job."""
    return log_path.parent


async def test_list_has_last_change_first(workspace: Path, client: Client) -> None:
    write(workspace / "old.txt", modified_s=1_700_000_000)
    write(workspace / "logs" / "sheet-01.stdout.log", "12345", modified_s=1_800_000_000.25)
    response = await client.get(FILES)
    listed = await response.json()
    FileListData.model_validate(listed)
    assert listed["job_id"] == "lantern"
    assert listed["truncated"] is False
    first, second = listed["entries"]
    assert first == {
        "path": "logs/sheet-01.stdout.log",
        "url_path": "logs/sheet-01.stdout.log",
        "kind": "text",
        "size_bytes": 5,
        "modified_at": "2027-01-15T08:00:00.250Z",
        "sheets": [],
    }
    assert second["path"] == "old.txt"


async def test_list_by_name_goes_folder_by_folder(workspace: Path, client: Client) -> None:
    for name in ("b/2", "a/1", "b/1", "c", "b.txt"):
        write(workspace / name)
    assert await list_paths(client, sort="name") == ["a/1", "b/1", "b/2", "b.txt", "c"]


async def test_folder_at_the_depth_is_an_entry_without_size(
    workspace: Path, client: Client
) -> None:
    write(workspace / "a" / "b" / "c")
    response = await client.get(FILES, params={"depth": "2"})
    (entry,) = (await response.json())["entries"]
    assert (entry["path"], entry["kind"], entry["size_bytes"]) == ("a/b", "folder", None)


@pytest.mark.parametrize(
    ("glob", "paths"),
    [
        ("*.log", ["logs/a.log", "x.log"]),
        ("logs/*", ["logs/a.log", "logs/b.txt"]),
        ("[xy].*", ["x.log"]),
        ("X*", []),
    ],
)
async def test_glob_selects_names_or_paths(
    workspace: Path, client: Client, glob: str, paths: list[str]
) -> None:
    for name in ("x.log", "logs/a.log", "logs/b.txt"):
        write(workspace / name)
    assert await list_paths(client, sort="name", glob=glob) == paths


async def test_hidden_and_excluded_names_are_left_out(workspace: Path, client: Client) -> None:
    for name in (".cache/a", "b", ".env", ".ENV.local", "server.PEM", ".git/config", ".ssh/id"):
        write(workspace / name)
    assert await list_paths(client) == ["b"]
    assert await list_paths(client, sort="name", hidden="true") == [".cache/a", "b"]


async def test_only_files_and_folders_are_listed(workspace: Path, client: Client) -> None:
    (workspace / "link").symlink_to("/etc/passwd")
    (workspace / "folder").symlink_to("/etc")
    os.mkfifo(workspace / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(workspace / "s"))
        write(workspace / "file")
        assert await list_paths(client) == ["file"]


async def test_limit_truncates_a_list(workspace: Path, client: Client) -> None:
    for number in range(5):
        write(workspace / f"{number}", modified_s=1_700_000_000 + number)
    for sort, expected in (("change", ["4", "3"]), ("name", ["0", "1"])):
        response = await client.get(FILES, params={"sort": sort, "limit": "2"})
        listed = await response.json()
        assert [entry["path"] for entry in listed["entries"]] == expected
        assert listed["truncated"] is True
    response = await client.get(FILES, params={"limit": "5"})
    assert (await response.json())["truncated"] is False


async def test_unchanged_list_is_not_sent_again(workspace: Path, client: Client) -> None:
    write(workspace / "a")
    etag = (await client.get(FILES)).headers["ETag"]
    again = await client.get(FILES, headers={"If-None-Match": etag})
    assert (again.status, await again.read()) == (304, b"")
    write(workspace / "a", "longer text")
    assert (await client.get(FILES, headers={"If-None-Match": etag})).status == 200


async def test_list_names_sheets_during_whose_span_a_file_changed(
    workspace: Path, conductor: SimulatedConductor, client: Client, open_stream: OpenStream
) -> None:
    # What is recorded without a history is known while a client watches the job.
    async with open_stream("/api/jobs/lantern/stream") as viewer:
        conductor.dispatch("lantern", 1)
        await viewer.wait_for_status(current_sheet=1)
        write(workspace / "during")
        write(workspace / "before", modified_s=1_700_000_000)
        response = await client.get(FILES)
        sheets = {entry["path"]: entry["sheets"] for entry in (await response.json())["entries"]}
        assert sheets == {"during": [1], "before": []}


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"sort": "size"}, "sort must be one of change, name, got 'size'"),
        ({"depth": "0"}, "depth must be between 1 and 32"),
        ({"limit": "20001"}, "limit must be between 1 and 20000"),
        ({"glob": "x" * 201}, "glob must be at most 200 characters long, got 201"),
        ({"hidden": "yes"}, "hidden must be true or false, got 'yes'"),
    ],
)
async def test_invalid_parameter_of_list_is_named(
    workspace: Path, client: Client, query: dict[str, str], detail: str
) -> None:
    response = await client.get(FILES, params=query)
    assert response.status == 400
    assert (await response.json())["detail"] == detail


async def test_missing_workspace_is_not_found(workspace: Path, client: Client) -> None:
    workspace.rmdir()
    assert await read_error_code(await client.get(FILES)) == (404, "file_not_found")
    assert await read_error_code(await client.get(f"{FILES}/a")) == (404, "file_not_found")


async def test_job_without_workspace_is_not_found(
    conductor: SimulatedConductor, client: Client
) -> None:
    conductor.launch("bare", 1)
    response = await client.get("/api/jobs/bare/files")
    assert (response.status, (await response.json())["detail"]) == (
        *(404, "This job has no workspace, or it does not exist any more."),
    )


async def test_file_is_sent_as_an_attachment_that_runs_nothing(
    workspace: Path, client: Client
) -> None:
    write(workspace / "out" / "page.html", "<script>alert(1)</script>")
    response = await client.get(f"{FILES}/out/page.html")
    assert await response.read() == b"<script>alert(1)</script>"
    headers = response.headers
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["Content-Disposition"] == "attachment; filename=page.html"
    assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("name", "content_type", "inline"),
    [
        ("a.svg", "text/plain; charset=utf-8", True),
        ("a.PNG", "image/png", True),
        ("a.json", "text/plain; charset=utf-8", True),
        ("a.pdf", "application/octet-stream", False),
        ("Makefile", "text/plain; charset=utf-8", True),
        ("png", "text/plain; charset=utf-8", True),
        ("bin", "text/plain; charset=utf-8", True),
    ],
)
async def test_kind_decides_media_type_and_disposition(
    workspace: Path, client: Client, name: str, content_type: str, *, inline: bool
) -> None:
    write(workspace / name)
    response = await client.get(f"{FILES}/{name}", params={"inline": "true"})
    assert response.headers["Content-Type"] == content_type
    disposition = response.headers["Content-Disposition"]
    assert disposition.startswith("inline" if inline else "attachment")


async def test_file_has_ranges_conditions_and_head(workspace: Path, client: Client) -> None:
    write(workspace / "a", "0123456789")
    head = await client.head(f"{FILES}/a")
    assert (head.status, head.headers["Content-Length"], await head.read()) == (200, "10", b"")
    etag = head.headers["ETag"]
    part = await client.get(f"{FILES}/a", headers={"Range": "bytes=2-4", "If-Range": etag})
    assert (part.status, await part.read()) == (206, b"234")
    assert part.headers["Content-Range"] == "bytes 2-4/10"
    assert (await client.get(f"{FILES}/a", headers={"If-None-Match": etag})).status == 304
    beyond = await client.get(f"{FILES}/a", headers={"Range": "bytes=20-"})
    assert beyond.status == 416


async def test_compressed_file_is_sent_as_it_is(workspace: Path, client: Client) -> None:
    (workspace / "a.log.gz").write_bytes(b"\x1f\x8b no gzip")
    assert await (await client.get(f"{FILES}/a.log.gz")).read() == b"\x1f\x8b no gzip"


async def test_unusual_names_are_found_by_their_url_paths(workspace: Path, client: Client) -> None:
    names = ["a b.txt", "ü.txt", "100%.txt", "q?#.txt", "a\nb", "\udcff.txt", 'quote".txt']
    for name in names:
        write(workspace / name, repr(name))
    response = await client.get(FILES)
    entries = (await response.json())["entries"]
    assert len(entries) == len(names)
    texts = set()
    for entry in entries:
        # The path is encoded already.
        url = f"{client.make_url('/')}{FILES[1:]}/{entry['url_path']}"
        sent = await client.session.get(URL(url, encoded=True))
        assert sent.status == 200, entry
        texts.add(await sent.text())
    assert texts == set(map(repr, names))
    assert r"\xff.txt" in {entry["path"] for entry in entries}


async def test_files_can_be_turned_off(workspace: Path, start: Start) -> None:
    client = await start(files=False, no_auth=True)
    for path in ("files", "files/a", "file-stream/a", "file-lines/a"):
        answer = await client.get(f"/api/jobs/lantern/{path}")
        assert await read_error_code(answer) == (404, "files_disabled")


async def test_token_for_some_jobs_needs_the_right_to_files(
    conductor: SimulatedConductor, tmp_path: Path, start: Start
) -> None:
    write(tmp_path / "n" / "a")
    conductor.launch("nightly-1", 1, workspace=str(tmp_path / "n"))
    client = await start(data_dir=tmp_path / "data")
    for path in ("files", "files/a", "file-stream/a", "file-lines/a"):
        answer = await client.get(f"/api/jobs/nightly-1/{path}", headers=NARROWED)
        status, code = await read_error_code(answer)
        assert (status, code) == (403, "file_forbidden")
        assert "rights=files" in (await answer.json())["detail"]


@pytest.mark.parametrize(
    ("line", "status"),
    [("", 200), ("rights=none", 403), ("nightly-* rights=files", 200), ("nightly-*", 403)],
)
async def test_right_to_files_comes_from_the_token_file(  # noqa: PLR0917
    conductor: SimulatedConductor,
    tmp_path: Path,
    start: Start,
    token_file: Path,
    line: str,
    status: int,
) -> None:
    write(tmp_path / "n" / "a")
    conductor.launch("nightly-1", 1, workspace=str(tmp_path / "n"))
    token_file.write_text(f"another-token-0123456789 {line}\n")
    client = await start(data_dir=tmp_path / "data")
    headers = {"Authorization": "Bearer another-token-0123456789"}
    answer = await client.get("/api/jobs/nightly-1/files", headers=headers)
    assert answer.status == status


async def test_markdown_is_rendered_and_other_files_are_not(
    workspace: Path, client: Client
) -> None:
    write(workspace / "a.md", "# Title\n\n<script>alert(1)</script>\n")
    rendered = await client.get(f"{FILES}/a.md", params={"render": "true"})
    assert rendered.headers["Content-Type"] == "text/html; charset=utf-8"
    html = await rendered.text()
    assert "<h1>Title</h1>" in html
    assert "<script" not in html
    other = await client.get(f"{FILES}/a.md.txt", params={"render": "true"})
    assert other.status == 404
    write(workspace / "b.txt")
    refused = await client.get(f"{FILES}/b.txt", params={"render": "true"})
    assert await read_error_code(refused) == (400, "bad_parameter")
    write(workspace / "c.md", "x" * (512 * 1024 + 1))
    large = await client.get(f"{FILES}/c.md", params={"render": "true"})
    assert await read_error_code(large) == (413, "markdown_too_complex")


async def test_token_for_some_jobs_reads_no_workspace_of_another_job(
    conductor: SimulatedConductor, tmp_path: Path, start: Start, token_file: Path
) -> None:
    write(tmp_path / "all" / "other" / "a", "not for this token")
    conductor.launch("other", 1, workspace=str(tmp_path / "all" / "other"))
    conductor.launch("nightly-1", 1, workspace=str(tmp_path / "all"))
    token_file.write_text(f"{NARROW} nightly-* rights=files\n{WHOLE}\n")
    client = await start(data_dir=tmp_path / "data")
    for path in ("files", "files/other/a", "file-stream/other/a", "file-lines/other/a"):
        url = f"/api/jobs/nightly-1/{path}"
        assert await read_error_code(await client.get(url, headers=NARROWED)) == (
            *(403, "file_forbidden"),
        )
    url = "/api/jobs/nightly-1/files/other/a"
    assert (await client.get(url, headers=BEARER)).status == 200


async def test_file_of_any_time_is_sent(workspace: Path, client: Client) -> None:
    write(workspace / "a", modified_s=4_000_000_000)
    assert (await client.get(f"{FILES}/a")).status == 200
