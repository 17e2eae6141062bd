"""Files tab of the job view: list, text, Markdown, JSON, pictures, and what a file must not do."""

import json
import os
import re
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Error, Page, Request, Route, expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.axe import SCHEMES, find_all_violations, find_violations, load_axe
from tests.support.browser import BrowserUser
from tests.support.external import require_node_module
from tests.support.log_view import append_numbered

HOSTILE = "document.title = 'taken'; fetch('/health?x'); window.taken = true"

# A script in each place in which a browser would run it.
SCRIPTS = (
    f"<script>{HOSTILE}</script>\n\n"
    f'<img src="/health?x" onerror="{HOSTILE}">\n\n'
    f'<svg xmlns="http://www.w3.org/2000/svg" onload="{HOSTILE}"><script>{HOSTILE}</script></svg>\n'
)

MARKDOWN = f"""# Report

Some *words*, `code`, [a page](https://example.org/a), [the table](data/table.json),
[outside](../../secret.md), [the API](/api/jobs), [a script](javascript:{HOSTILE.replace(" ", "")}),
<a href="javascript:{HOSTILE}">raw</a> and ![a plot](plot.png).

| a | b |
| - | -:|
| 1 | 2 |

{SCRIPTS}
"""


@pytest.fixture
def workspace(log_path: Path) -> Path:
    return log_path.parent


def write(path: Path, text: str, *, age_s: float = 0) -> None:
    """Write a file that was changed some time ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    then = path.stat().st_mtime - age_s
    os.utime(path, (then, then))


def write_image(path: Path) -> None:
    """Write a picture of one red pixel."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0\xff\0\0")
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


async def show_files_on_a_phone(page: Page) -> None:
    """Choose the tab in an upright window: axe-core has looked at all tabs, in a low one last."""
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.get_by_role("tab", name="Files").locator("visible=true").click()


async def open_files(user: BrowserUser, fragment: str = "#files") -> Page:
    return await user.open_page(f"/jobs/lantern{fragment}")


async def test_files_are_listed_by_their_last_change(user: BrowserUser, workspace: Path) -> None:
    for age_s, name in enumerate(["logs/sheet-01.stdout.log", "report.md", "a b/c&d.txt"]):
        write(workspace / name, name, age_s=60 * age_s)
    page = await user.open_page("/jobs/lantern")
    await page.get_by_role("tab", name="Files").click()
    await expect(page).to_have_url(f"{user.address}/jobs/lantern#files")
    names = page.locator(".file-link")
    shown = ["logs/sheet-01.stdout.log", "report.md", "a b/c&d.txt"]
    await expect(names).to_have_text(shown)
    await expect(page.locator(".file-row").first).to_contain_text("24 bytes")
    await page.get_by_label("Filter files by name").fill("C&D")
    await expect(names).to_have_text(["a b/c&d.txt"])
    await names.click()
    await expect(page).to_have_url(f"{user.address}/jobs/lantern#file=a%20b/c%26d.txt")
    await expect(page.locator(".file-log .row.line .text")).to_have_text(["a b/c&d.txt"])
    await page.go_back()
    await expect(names).to_have_text(["a b/c&d.txt"])
    await page.get_by_label("Filter files by name").fill("nothing")
    await expect(page.locator(".file-list")).to_contain_text("No file matches.")
    await page.get_by_role("tab", name="Log").click()
    await expect(page).to_have_url(f"{user.address}/jobs/lantern")
    await expect(page.locator(".files")).to_be_hidden()
    await page.go_back()
    await expect(page.locator(".file-list")).to_contain_text("No file matches.")
    await page.get_by_label("Filter files by name").press("Escape")
    await expect(names).to_have_text(shown)


async def test_keys_lead_through_the_list(user: BrowserUser, workspace: Path) -> None:
    for age_s, name in enumerate(["one.txt", "two.txt", "three.txt"]):
        write(workspace / name, name, age_s=60 * age_s)
    page = await open_files(user)
    await expect(page.locator(".file-link")).to_have_count(3)
    for key, focused in [("j", "one"), ("j", "two"), ("ArrowDown", "three"), ("k", "two")]:
        await page.keyboard.press(key)
        await expect(page.get_by_role("link", name=f"{focused}.txt", exact=True)).to_be_focused()
    # Tab reaches what is in the row, and then leaves the list.
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Download two.txt")).to_be_focused()
    await page.keyboard.press("Tab")
    assert not await page.locator(".file-rows :focus").count()
    # A key of the log does not leave the list.
    await page.keyboard.press("g")
    await page.keyboard.press("/")
    await expect(page.get_by_label("Filter files by name")).to_be_focused()


async def test_text_is_followed_searched_and_linked(user: BrowserUser, workspace: Path) -> None:
    path = workspace / "logs/sheet-01.stdout.log"
    write(path, "".join(f"line {number}\n" for number in range(1, 301)))
    page = await open_files(user, "#file=logs/sheet-01.stdout.log")
    rows = page.locator(".file-log .row.line .text")
    await expect(rows.last).to_have_text("line 300")
    with path.open("a") as file:
        file.write("line 301\n")
    await expect(rows.last).to_have_text("line 301")
    await page.get_by_label("Search the whole file").fill("line 77")
    await page.keyboard.press("Enter")
    await expect(page.locator(".file-log .count")).to_have_text("1 of 1")
    await page.locator(".file-log").get_by_role("button", name="Line 77", exact=True).click()
    await expect(page).to_have_url(re.compile(r"#file=logs/sheet-01\.stdout\.log&L77\."))
    await page.reload()
    await expect(page.locator(".file-log .row.selected .text")).to_have_text("line 77")
    # Keys are for the file, not for the log behind it.
    await page.keyboard.press("G")
    await expect(rows.last).to_have_text("line 301")
    await expect(page.locator("#file-log")).to_be_visible()


async def test_markdown_is_rendered_and_its_links_lead_to_files(
    user: BrowserUser, workspace: Path
) -> None:
    write(workspace / "out/report.md", MARKDOWN)
    write(
        workspace / "out/data/table.json", '{"big": 12345678901234567890, "list": [1, {}], "e": []}'
    )
    page = await open_files(user, "#file=out/report.md")
    text = page.locator(".markdown")
    await expect(text.get_by_role("heading", name="Report")).to_be_visible()
    await expect(text.get_by_role("cell", name="2")).to_have_attribute("align", "right")
    addresses = await text.locator("a").evaluate_all(
        "(all) => all.map((a) => a.getAttribute('href'))"
    )
    assert addresses == ["https://example.org/a", "#file=out/data/table.json", "#file=out/plot.png"]
    await expect(text).to_contain_text("<script>")
    await page.get_by_role("button", name="Source").click()
    await expect(page.locator(".file-log .row.line .text").first).to_have_text("# Report")
    await page.get_by_role("button", name="Source").click()
    await text.get_by_role("link", name="the table").click()
    await expect(page.locator(".file-json")).to_have_text(
        '{\n  "big": 12345678901234567890,\n  "list": [\n    1,\n    {}\n  ],\n  "e": []\n}'
    )


async def test_file_that_is_gone_and_comes_back_is_shown_again(
    user: BrowserUser, conductor: SimulatedConductor, workspace: Path
) -> None:
    path = workspace / "notes.txt"
    write(path, "one\n")
    page = await open_files(user, "#file=notes.txt")
    note = page.locator(".file > .file-note")
    await expect(page.locator(".file-log .row.line .text")).to_have_text(["one"])
    await expect(page.locator(".file-facts")).to_contain_text("4 bytes")
    path.unlink()
    conductor.emit("lantern", "observer.file_deleted", {"path": "notes.txt"})
    await expect(note).to_have_text("The workspace no longer has this file.")
    write(path, "two\n")
    conductor.emit("lantern", "observer.file_created", {"path": "notes.txt"})
    await expect(note).to_be_hidden()


async def test_focus_stays_in_a_text_that_is_rendered_again(
    user: BrowserUser, conductor: SimulatedConductor, workspace: Path
) -> None:
    path = workspace / "report.md"
    write(path, "[a page](https://example.org/a) first", age_s=60)
    page = await open_files(user, "#file=report.md")
    text = page.locator(".markdown")
    await text.get_by_role("link").focus()
    await expect(page.locator(".file-facts")).to_contain_text("37 bytes")
    write(path, "[a page](https://example.org/a) second")
    conductor.emit("lantern", "observer.file_modified", {"path": "report.md"})
    await expect(text).to_contain_text("second")
    await expect(text).to_be_focused()


async def test_back_leads_to_what_was_shown_before_the_files(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 9)
    page = await user.open_page("/jobs/lantern")
    await page.get_by_role("button", name="Line 5", exact=True).click()
    await expect(page).to_have_url(re.compile(r"#L5\."))
    url = page.url
    tab = page.get_by_role("tab", selected=True).locator("visible=true")
    await page.get_by_role("tab", name="Files").locator("visible=true").click()
    await page.get_by_role("tab", name="Log").locator("visible=true").click()
    # The address names the selected line again.
    await expect(page).to_have_url(url)
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.get_by_role("tab", name="Sheets").locator("visible=true").click()
    await page.get_by_role("tab", name="Files").locator("visible=true").click()
    count = await page.evaluate("history.length")
    # A phone that is turned, and back, is no step in the history.
    for width, height in ((844, 390), (390, 844)):
        await page.set_viewport_size({"width": width, "height": height})
        await expect(tab).to_have_text("Log" if height == 390 else "Files")
    assert await page.evaluate("history.length") == count
    await page.go_back()
    await expect(tab).to_have_text("Log")


async def test_image_is_shown_and_other_files_are_offered(
    user: BrowserUser, workspace: Path
) -> None:
    write_image(workspace / "dot.png")
    (workspace / "data.zip").write_bytes(b"PK\x03\x04")
    page = await open_files(user, "#file=dot.png")
    image = page.locator(".file-image img")
    await expect(image).to_have_js_property("naturalWidth", 1)
    await page.get_by_role("link", name="All files").click()
    await page.get_by_role("link", name="data.zip", exact=True).click()
    await expect(page.locator(".file-other")).to_contain_text("not shown")
    async with page.expect_download() as download:
        await page.locator(".file-head").get_by_role("link", name="Download").click()
    assert (await download.value).suggested_filename == "data.zip"
    await page.get_by_role("button", name="Show it as text").click()
    await expect(page.locator(".file-log .row.line")).to_have_count(1)


async def test_list_follows_file_events_while_it_is_shown(
    user: BrowserUser, conductor: SimulatedConductor, workspace: Path
) -> None:
    write(workspace / "one.txt", "1")
    page = await user.open_page("/jobs/lantern")
    requests: list[str] = []

    def note(request: Request) -> None:
        if "/files" in request.url:
            requests.append(request.url)

    page.on("request", note)
    await expect(page.locator(".sheet").first).to_be_visible()
    conductor.emit("lantern", "observer.file_created", {"path": "one.txt"})
    await page.get_by_role("tab", name="Files").click()
    await expect(page.locator(".file-link")).to_have_text(["one.txt"])
    assert len(requests) == 1
    write(workspace / "two.txt", "2")
    conductor.emit("lantern", "observer.file_created", {"path": "two.txt"})
    await expect(page.locator(".file-link")).to_have_text(["two.txt", "one.txt"])
    await page.get_by_role("tab", name="Log").click()
    count = len(requests)
    write(workspace / "three.txt", "3")
    conductor.emit("lantern", "observer.file_created", {"path": "three.txt"})
    conductor.dispatch("lantern", 1)
    await expect(page.locator(".sheet").first).to_have_attribute("data-tone", "running")
    assert len(requests) == count
    await page.get_by_role("tab", name="Files").click()
    await expect(page.locator(".file-link")).to_have_count(3)


async def test_sheet_panel_lists_the_files_of_its_span(
    user: BrowserUser, conductor: SimulatedConductor, workspace: Path
) -> None:
    write(workspace / "before.txt", "1", age_s=3600)
    page = await user.open_page("/jobs/lantern")
    sheet = page.locator(".sheet").first
    await expect(sheet).to_be_visible()
    conductor.dispatch("lantern", 1)
    await expect(sheet).to_have_attribute("data-tone", "running")
    write(workspace / "during.txt", "2")
    await sheet.click()
    files = page.locator(".sheet-files a")
    await expect(files).to_have_text(["during.txt"])
    await files.click()
    await expect(page.locator(".file-head")).to_contain_text("during.txt")
    await expect(page.locator(".file-log .row.line .text")).to_have_text(["2"])
    await page.keyboard.press("Escape")
    await expect(page.locator(".sheet-panel")).to_be_hidden()
    await page.locator(".file-head").get_by_role("button", name="sheet 1").click()
    await expect(page.locator(".sheet-panel h2")).to_have_text("Sheet 1")


async def test_reason_is_shown_if_there_are_no_files(user: BrowserUser, workspace: Path) -> None:
    page = await open_files(user)
    note = page.locator(".file-note").first
    link = page.locator(".file-origin")
    await expect(note).to_have_text("The workspace has no files to show.")
    answer: dict[str, Any] = {}

    async def fulfill(route: Route) -> None:
        await route.fulfill(**answer)

    await page.route("**/files?*", fulfill)
    for status, code, detail in (
        (404, "files_disabled", "This server serves no files of jobs."),
        (403, "file_forbidden", "The workspace is a home folder."),
        (404, "file_not_found", "The workspace does not exist any more."),
        (501, "not_available_on_edge", "Only the conductor's own server has this: http://x"),
    ):
        answer.update(status=status, body=json.dumps({"code": code, "detail": detail}))
        await page.reload()
        await expect(note).to_have_text(detail)
        await expect(link).to_be_visible(visible=code == "not_available_on_edge")
    answer.update(status=307, headers={"Location": "http://127.0.0.2/"})
    await page.reload()
    await expect(note).to_contain_text("Only the conductor's own server")
    await expect(link).to_have_attribute("href", "/api/jobs/lantern/files")


@pytest.mark.parametrize("name", ["page.html", "picture.svg", "report.md", "data.json", "code.js"])
async def test_script_in_a_file_runs_nowhere(user: BrowserUser, workspace: Path, name: str) -> None:
    text = {"report.md": MARKDOWN, "code.js": HOSTILE}.get(name, SCRIPTS)
    write(workspace / name, text)
    requests: list[str] = []
    user.context.on("request", lambda request: requests.append(request.url))
    page = await open_files(user, f"#file={name}")
    await expect(page.locator(".file-body")).to_contain_text("taken")
    for link in await page.locator(".file-body a[href^=javascript]").all():
        await link.click()
    assert await page.evaluate("window.taken") is None
    direct = f"/api/jobs/lantern/files/{name}"
    for query in ("?inline=true", "?inline=true&render=true", "?render=true", ""):
        tab = await user.context.new_page()
        # A download ends the navigation.
        with suppress(Error):
            await tab.goto(user.address + direct + query)
        assert await tab.evaluate("window.taken") is None
        assert await tab.title() != "taken"
        await tab.close()
    assert await page.title() != "taken"
    assert [url for url in requests if "/health" in url] == []


async def test_axe_finds_no_violation_in_files(
    user: BrowserUser, conductor: SimulatedConductor, workspace: Path
) -> None:
    require_node_module("axe-core")
    conductor.dispatch("lantern", 1)
    write(workspace / "report.md", MARKDOWN)
    write(workspace / "data.json", '{"a": [1, 2]}')
    write(workspace / "notes.txt", "one\n" * 40)
    write_image(workspace / "dot.png")
    page = await open_files(user)
    await load_axe(page)
    await expect(page.locator(".file-link")).to_have_count(4)
    assert await find_all_violations(page) == []
    await show_files_on_a_phone(page)
    await user.take_pictures(page, "files")
    shown = {"report.md": ".markdown", "data.json": ".file-json", "notes.txt": ".row.line"}
    for name, selector in {**shown, "dot.png": ".file-image img"}.items():
        await page.evaluate("(name) => { location.hash = `#file=${name}` }", name)
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            await page.set_viewport_size({"width": 1280, "height": 800})
            await expect(page.locator(f".file-body {selector}").first).to_be_visible()
            assert await find_violations(page) == []
            await show_files_on_a_phone(page)
            assert await find_violations(page) == []
        await user.take_pictures(page, f"file_{name.partition('.')[0]}")
