"""Log view in a browser."""

import gzip
import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser
from tests.support.log_view import append_numbered, log_row, scroll_up
from tests.support.waiting import wait_for_value

AT_END = """(rows) => rows.scrollHeight - rows.clientHeight - rows.scrollTop < 8"""


async def test_scrolling_up_stops_following_and_counts_new_lines(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 300)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 300)).to_be_visible()
    append_numbered(log_path, 301, 320)
    await expect(log_row(page, 320)).to_be_visible()
    await scroll_up(page, 600)
    follow = page.get_by_role("button", name="Follow")
    await expect(follow).to_have_attribute("aria-pressed", "false")
    seen = await page.locator(".row.line .number").first.inner_text()
    append_numbered(log_path, 321, 332)
    await expect(page.locator(".new-lines-button")).to_have_text("↓ 12 new lines")
    assert await page.locator(".row.line .number").first.inner_text() == seen
    await page.keyboard.press("f")
    await expect(log_row(page, 332)).to_be_visible()
    await expect(page.locator(".new-lines-button")).to_be_hidden()
    assert await page.locator(".log-rows").evaluate(AT_END)


async def test_log_draws_visible_rows_only_and_loads_older_lines_on_scroll(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 5000)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 5000)).to_be_visible()
    assert await page.locator(".row").count() < 200
    numbers = page.locator(".row.line .number")
    for _ in range(40):
        await scroll_up(page, 8000)
        await page.wait_for_timeout(50)
        if int(await numbers.first.inner_text()) < 3000:
            break
    shown = [int(text) for text in await numbers.all_inner_texts()]
    assert shown[0] < 3000
    assert shown == list(range(shown[0], shown[0] + len(shown)))
    await page.keyboard.press("g")
    await expect(log_row(page, 1)).to_be_visible()
    await page.keyboard.press("G")
    await expect(log_row(page, 5000)).to_be_visible()
    assert await page.locator(".row").count() < 200


async def test_scrolling_reaches_rotated_files_and_marks_the_rotation(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 400)
    with gzip.open(log_path.with_name("marianne.log.1.gz"), "wb") as old:
        old.write(log_path.read_bytes())
    log_path.unlink()
    append_numbered(log_path, 401, 450)
    page = await user.open_page("/jobs/lantern")
    await expect(page.locator(".row .text", has_text="line 450 of many")).to_be_visible()
    mark = page.locator(".row.marker.rotated")
    for _ in range(20):
        await scroll_up(page, 400)
        await page.wait_for_timeout(50)
        if await mark.count():
            break
    await expect(mark).to_contain_text("rotated")
    log_path.rename(log_path.with_name("marianne.log.2"))
    append_numbered(log_path, 1, 3)
    await page.keyboard.press("G")
    await expect(page.locator(".row.marker", has_text="renamed")).to_be_visible()


async def test_search_covers_the_whole_log_and_shows_matches_in_context(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 2000)
    with log_path.open("a", encoding="utf-8") as file:
        file.write("2026-11-24T03:00:01 [error] The Needle, 1 of 2\n")
    append_numbered(log_path, 2002, 6000)
    with log_path.open("a", encoding="utf-8") as file:
        file.write("2026-11-24T03:00:01 [error] the needle, 2 of 2\n")
    append_numbered(log_path, 6002, 9000)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 9000)).to_be_visible()
    await page.keyboard.press("/")
    await page.keyboard.type("needle")
    await page.keyboard.press("Enter")
    count = page.locator(".log-search .count")
    await expect(count).to_have_text("1 of 2")
    current = page.locator(".row.current")
    await expect(current.locator("mark")).to_have_text("needle")
    await expect(current.locator(".number")).to_have_text("6001")
    await expect(log_row(page, 6000)).to_be_visible()
    await expect(log_row(page, 6002)).to_be_visible()
    await page.locator(".log-rows").focus()
    await page.keyboard.press("n")
    await expect(count).to_have_text("2 of 2")
    await expect(current.locator(".number")).to_have_text("2001")
    await expect(log_row(page, 2000)).to_be_visible()
    # The log continues from there to its end without a gap.
    await page.keyboard.press("G")
    await expect(log_row(page, 9000)).to_be_visible()
    await page.get_by_label("Search the whole log").fill("no such thing")
    await page.keyboard.press("Enter")
    await expect(count).to_have_text("No matches")
    await page.get_by_label("Regular expression").click()
    await page.get_by_label("Search the whole log").fill("(")
    await page.keyboard.press("Enter")
    await expect(count).to_contain_text("regex")


async def test_level_filter_is_applied_by_the_server(user: BrowserUser, log_path: Path) -> None:
    append_numbered(log_path, 1, 500)
    with log_path.open("a", encoding="utf-8") as file:
        file.write(
            "2026-11-24T03:00:01 [warning] a warning\n2026-11-24T03:00:01 [error] an error\n"
        )
    page = await user.open_page("/jobs/lantern")
    await expect(page.locator(".row[data-level=warning]")).to_be_visible()
    await expect(page.locator(".row[data-level=error] .level")).to_have_text("error")
    await page.get_by_label("Level").select_option("warning")
    await expect(page.locator(".row.line")).to_have_count(2)
    with log_path.open("a", encoding="utf-8") as file:
        file.write("2026-11-24T03:00:02 [info] quiet\n2026-11-24T03:00:02 [error] another\n")
    await expect(page.locator(".row.line")).to_have_count(3)


async def test_ansi_colours_are_shown_and_other_sequences_removed(
    user: BrowserUser, log_path: Path
) -> None:
    log_path.write_text(
        "\x1b[31mred\x1b[0m \x1b[1;38;5;208mbold\x1b[0m \x1b]0;title\x07\x1b[2Jclear\x07\n"
        "<script>alert(1)</script><img src=x onerror=alert(1)>\n"
    )
    page = await user.open_page("/jobs/lantern")
    text = page.locator(".row.line .text")
    await expect(text.first).to_have_text("red bold clear␇")
    await expect(text.first.locator("[data-fg=red]")).to_have_text("red")
    await expect(text.nth(1)).to_have_text("<script>alert(1)</script><img src=x onerror=alert(1)>")


async def test_json_line_opens_its_fields_on_click(user: BrowserUser, log_path: Path) -> None:
    log_path.write_text(
        '{"event":"sheet.done","level":"warning","timestamp":"2026-11-24T03:00:00.5Z","sheet":3}\n'
        "plain\n"
    )
    page = await user.open_page("/jobs/lantern")
    row = page.locator(".row.json")
    await expect(row).to_have_count(1)
    await expect(row.locator(".text")).to_contain_text("sheet.done sheet=3")
    await expect(row.locator("time")).to_have_text("03:00:00.500")
    await row.get_by_role("button", name="Fields").click()
    await expect(page.locator(".row.json .fields")).to_contain_text('"level": "warning"')
    below = await page.locator(".row.line").nth(1).bounding_box()
    fields = await page.locator(".row.json .fields").bounding_box()
    assert below is not None
    assert fields is not None
    assert below["y"] >= fields["y"] + fields["height"]
    await page.locator(".row.json").get_by_role("button", name="Fields").click()
    await expect(page.locator(".row.json .fields")).to_have_count(0)


async def test_numbers_of_json_line_are_shown_as_they_are_written(
    user: BrowserUser, log_path: Path
) -> None:
    numbers = [
        "1.0",
        "1.50",
        "1e5",
        "-0",
        "12345678901234567890",
        "123456789.123456789",
        "0.0000001",
    ]
    log_path.write_text("".join(f'{{"event":"x","a":{number}}}\n' for number in [*numbers, "7"]))
    page = await user.open_page("/jobs/lantern")
    await expect(page.locator(".row .field")).to_have_text([f"a={one}" for one in [*numbers, "7"]])


async def test_wrap_and_times_are_toggled_and_kept(user: BrowserUser, log_path: Path) -> None:
    log_path.write_text(f"2026-11-24T03:00:00.119 [info] {'word ' * 200}\n")
    page = await user.open_page("/jobs/lantern")
    row = page.locator(".row.line")
    await expect(row.locator("time")).to_have_text("03:00:00.119")
    text = row.locator(".text")
    # A row that is just drawn anew has no box.
    tall = await wait_for_value(text.bounding_box, bool)
    await page.keyboard.press("w")
    await expect(page.locator(".log-rows")).to_have_attribute("data-wrap", "off")
    flat = await wait_for_value(text.bounding_box, bool)
    assert flat["height"] < tall["height"] / 2
    await page.keyboard.press("s")
    await expect(row.locator("time")).to_be_hidden()
    await page.reload()
    await expect(page.locator(".log-rows")).to_have_attribute("data-wrap", "off")
    await expect(row.locator("time")).to_be_hidden()


async def test_link_selects_a_line_range_also_after_rotation(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 3000)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 3000)).to_be_visible()
    await scroll_up(page, 20_000)
    await expect(log_row(page, 3000)).to_be_hidden()
    # In the middle of the visible part.
    number = int(await page.locator(".row.line .number").nth(35).inner_text())
    await log_row(page, number).get_by_role("button").click()
    await expect(page.locator(".row.selected")).to_have_count(1)
    await log_row(page, number + 3).get_by_role("button").click(modifiers=["Shift"])
    await expect(page.locator(".row.selected")).to_have_count(4)
    await expect(page.locator(".log-status")).to_have_text("4 lines selected")
    assert re.search(rf"#L{number}-L{number + 3}\.[0-9a-f]{{8}}$", page.url)
    with gzip.open(log_path.with_name("marianne.log.1.gz"), "wb") as old:
        old.write(log_path.read_bytes())
    log_path.unlink()
    append_numbered(log_path, 3001, 3100)
    other = await user.open_page(page.url.removeprefix(user.address))
    await expect(other.locator(".row.selected")).to_have_count(4)
    await expect(other.locator(".row.selected .number").first).to_have_text(str(number))
    await expect(other.locator(".log-note")).to_be_hidden()
    gone = await user.open_page("/jobs/lantern#line=l-1-2-3-4-5")
    await expect(gone.locator(".row.line").first).to_be_visible()


async def test_lines_are_copied_and_the_log_file_downloaded(
    user: BrowserUser, log_path: Path
) -> None:
    await user.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=user.address)
    append_numbered(log_path, 1, 20)
    page = await user.open_page("/jobs/lantern")
    await log_row(page, 3).get_by_role("button").click()
    await log_row(page, 5).get_by_role("button").click(modifiers=["Shift"])
    await page.get_by_role("button", name="Copy").click()
    await expect(page.locator(".log-status")).to_have_text("3 lines copied")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied == "".join(log_path.read_text().splitlines(keepends=True)[2:5])
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Download").click()
    download = await downloading.value
    assert download.suggested_filename == "lantern.log"
    assert Path(await download.path()).read_text() == log_path.read_text()


async def test_log_shows_its_end_and_continues_when_the_job_is_resumed(
    user: BrowserUser, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_numbered(log_path, 1, 5)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 5)).to_be_visible()
    conductor.finish("lantern")
    await expect(page.locator(".row.marker.end")).to_be_visible(timeout=20_000)
    conductor.launch("lantern", 4, workspace=str(log_path.parent))
    await expect(page.locator(".job-header .status-label")).to_have_text("running")
    append_numbered(log_path, 6, 8)
    await expect(log_row(page, 8)).to_be_visible()
    numbers = await page.locator(".row.line .number").all_inner_texts()
    assert numbers == [str(number) for number in range(1, 9)]


async def test_truncated_log_shows_a_marker(user: BrowserUser, log_path: Path) -> None:
    append_numbered(log_path, 1, 400)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 400)).to_be_visible()
    log_path.write_text("")
    append_numbered(log_path, 1, 2)
    await expect(page.locator(".row.marker").first).to_be_visible()
    await expect(page.locator(".row .text", has_text="line 2 of many").last).to_be_visible()


async def test_log_created_later_is_followed(user: BrowserUser, log_path: Path) -> None:
    page = await user.open_page("/jobs/lantern")
    await expect(page.locator(".job-header .status-label")).to_have_text("running")
    append_numbered(log_path, 1, 2)
    await expect(log_row(page, 2)).to_be_visible()


async def test_missing_log_is_not_shown_as_empty(
    user: BrowserUser, log_path: Path, conductor: SimulatedConductor
) -> None:
    page = await user.open_page("/jobs/lantern")
    marker = page.locator(".row.marker.missing")
    await expect(marker).to_contain_text(f"This job has no log. Looked for {log_path}")
    await expect(marker).to_contain_text("set log_file in the conductor's configuration")
    await expect(page.locator(".log-status")).to_have_text("No log")
    conductor.finish("lantern")
    await expect(page.locator(".row.marker.end")).to_have_text(
        "End: the job has finished without writing a log"
    )
    await expect(page.locator(".log-status")).to_have_text("No log")
    await expect(page.get_by_text("No lines yet")).to_have_count(0)


async def test_lines_appear_after_a_missing_log(user: BrowserUser, log_path: Path) -> None:
    page = await user.open_page("/jobs/lantern")
    await expect(page.locator(".row.marker.missing")).to_be_visible()
    append_numbered(log_path, 1, 2)
    await expect(log_row(page, 2)).to_be_visible()
    await expect(page.locator(".log-status")).to_have_text("Following")


async def test_unfinished_first_line_takes_the_place_of_a_missing_log(
    user: BrowserUser, log_path: Path
) -> None:
    page = await user.open_page("/jobs/lantern")
    await expect(page.locator(".row.marker.missing")).to_be_visible()
    log_path.write_text("starting", encoding="utf-8")
    await expect(page.locator(".partial .text")).to_have_text("starting")
    await expect(page.locator(".row.marker.missing")).to_have_count(0)
    await expect(page.locator(".log-status")).to_have_text("Following")


async def test_partial_line_is_shown_and_replaced_by_the_whole_line(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 200)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 200)).to_be_visible()
    partial = page.locator(".partial .row")
    for shown in ("50 %", "75 %"):
        with log_path.open("a", encoding="utf-8") as file:
            file.write(f"\r\x1b[32m{shown}\x1b[0m")
        await expect(partial.locator(".text")).to_have_text(shown)
    assert await page.locator(".log-rows").evaluate(AT_END)
    with log_path.open("a", encoding="utf-8") as file:
        file.write("\rdone\n")
    await expect(log_row(page, 201)).to_contain_text("done")
    await expect(partial).to_have_count(0)
    await expect(page.get_by_text("75 %")).to_have_count(0)


@pytest.fixture
async def conductor_log(conductor: SimulatedConductor, tmp_path: Path) -> Path:
    """Path of the conductor's log, which the conductor gives from the beginning."""
    path = tmp_path / "conductor.log"
    conductor.daemon.log_file = str(path)
    return path


async def test_conductor_log_is_labelled_and_its_runs_marked(
    conductor_log: Path, user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("quiet", 2)
    conductor_log.write_text(
        '{"event":"job.submitted","job_id":"quiet","level":"info"}\n'
        '{"event":"sheet.begun","extra":{"job_id":"quiet","sheet_num":1}}\n'
        '{"event":"job.submitted","job_id":"quiet","level":"info"}\n'
    )
    page = await user.open_page("/jobs/quiet")
    await expect(page.locator(".log-source")).to_have_text(
        "Lines of this job in the conductor's log"
    )
    await expect(page.locator(".row.line .run-start")).to_have_count(2)
    await expect(page.locator(".row.line .text").nth(1)).to_contain_text("sheet_num=1")
