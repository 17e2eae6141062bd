"""Log view: entries, columns, long lines, links, search in both directions, filter, jumps."""

import json
import re
from pathlib import Path

from playwright.async_api import Locator, expect

from tests.support.browser import BrowserUser
from tests.support.log_view import (
    append_numbered,
    append_text,
    log_row,
    search_for,
    wait_for_numbers,
)
from tests.support.waiting import wait_for_value

TRACEBACK = (
    "2026-11-24T03:00:01 [error] sheet 4 failed\n"
    "Traceback (most recent call last):\n"
    '  File "run.py", line 3, in <module>\n'
    "ValueError: no light\n"
)

WHY_CUT = """(select) => {
  const { width } = select.getBoundingClientRect();
  select.style.cssText = "flex: none; max-width: none; width: max-content";
  const wanted = select.getBoundingClientRect().width;
  select.style.cssText = "";
  return width >= wanted - 1 ? "" : `${select.ariaLabel} ${width} of ${wanted} pixels`;
}"""


async def height(element: Locator) -> float:
    """Return the height of an element."""
    return float((await wait_for_value(element.bounding_box, bool))["height"])


async def test_entry_folds_by_click_key_and_all_at_once(user: BrowserUser, log_path: Path) -> None:
    append_numbered(log_path, 1, 2)
    append_text(log_path, TRACEBACK)
    append_numbered(log_path, 7, 8)
    page = await user.open_page("/jobs/lantern")
    await wait_for_numbers(page, range(1, 9))
    toggle = log_row(page, 3).locator(".entry-toggle")
    await expect(toggle).to_have_attribute("aria-expanded", "true")
    await toggle.click()
    await wait_for_numbers(page, [1, 2, 3, 7, 8])
    await expect(log_row(page, 3).locator(".entry-toggle")).to_have_text("▸ 3")
    above = await log_row(page, 3).bounding_box()
    below = await log_row(page, 7).bounding_box()
    assert above is not None
    assert below is not None
    assert abs(above["y"] + above["height"] - below["y"]) < 1
    # j and k step over the folded lines.
    await page.locator(".log-rows").focus()
    for key in ("k", "k"):
        await page.keyboard.press(key)
    await expect(page.locator(".row.current .number")).to_have_text("7")
    await page.keyboard.press("k")
    await expect(page.locator(".row.current .number")).to_have_text("3")
    await page.keyboard.press("Enter")
    await wait_for_numbers(page, range(1, 9))
    # From a line of the entry, Enter folds it and goes to its first line.
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page.locator(".row.current .number")).to_have_text("3")
    await wait_for_numbers(page, [1, 2, 3, 7, 8])
    await page.keyboard.press("e")
    append_text(log_path, TRACEBACK)
    await wait_for_numbers(page, [1, 2, 3, 7, 8, 9])
    await expect(log_row(page, 9).locator(".entry-toggle")).to_have_text("▸ 3")
    # A line that is added to the entry is counted, and the fold stays.
    append_text(log_path, "one more line\n")
    await expect(log_row(page, 9).locator(".entry-toggle")).to_have_text("▸ 4")
    # A match in a folded entry is shown.
    await search_for(page, "no light")
    await expect(page.locator(".row.current .number")).to_have_text("12")
    await wait_for_numbers(page, [1, 2, 3, 7, *range(8, 14)])


async def test_lines_of_an_entry_have_the_date_of_the_entry(
    user: BrowserUser, log_path: Path
) -> None:
    # Their own times are those at which they were read.
    append_numbered(log_path, 1, 2)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 2)).to_be_visible()
    append_text(log_path, TRACEBACK)
    append_numbered(log_path, 7, 8)
    await wait_for_numbers(page, range(1, 9))
    await expect(page.locator(".row .day")).to_have_text(["24 Nov 2026"])


async def test_focus_of_the_log_is_shown_above_its_rows(user: BrowserUser, log_path: Path) -> None:
    append_numbered(log_path, 1, 40)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 40)).to_be_visible()
    ring = "(body) => getComputedStyle(body, '::after').outlineStyle"
    body = page.locator(".log-body")
    assert await body.evaluate(ring) != "solid"
    await page.get_by_label("Level", exact=True).focus()
    await page.keyboard.press("Tab")
    await expect(page.locator(".log-rows")).to_be_focused()
    assert await body.evaluate(ring) == "solid"


async def test_columns_that_nothing_uses_take_no_room(user: BrowserUser, log_path: Path) -> None:
    log_path.write_text("plain\nlines\n")
    page = await user.open_page("/jobs/lantern")
    text = log_row(page, 1).locator(".text")
    number = await log_row(page, 1).locator(".number").bounding_box()
    box = await text.bounding_box()
    assert number is not None
    assert box is not None
    assert abs(number["x"] + number["width"] - box["x"]) < 1
    await expect(page.get_by_role("button", name="Fold")).to_be_hidden()
    append_text(log_path, TRACEBACK)
    await expect(log_row(page, 3).locator(".level")).to_have_text("error")
    await expect(page.get_by_role("button", name="Fold")).to_be_visible()
    wider = await text.bounding_box()
    assert wider is not None
    assert wider["x"] > box["x"] + 100


async def test_long_line_folds_after_ten_rows_and_opens_in_full(
    user: BrowserUser, log_path: Path
) -> None:
    log_path.write_text(f"first\n{'word ' * 12_000}the end\nlast\n")
    page = await user.open_page("/jobs/lantern")
    row = log_row(page, 2)
    await expect(log_row(page, 3)).to_be_visible()
    line_height = await height(log_row(page, 1))
    text = row.locator(".text")
    assert round(await height(text) / line_height) == 10
    await row.get_by_role("button", name="Show all of this line").click()
    await expect(text).to_contain_text("the end")
    assert await height(text) > 100 * line_height
    await page.locator(".log-rows").focus()
    await page.keyboard.press("g")
    await log_row(page, 2).get_by_role("button", name="Show less").click()
    await expect(log_row(page, 3)).to_be_visible()


async def test_line_opens_if_it_takes_more_than_ten_rows_only(
    user: BrowserUser, log_path: Path
) -> None:
    coloured = "\x1b[38;2;10;20;30mx\x1b[0m" * 60
    wide_words = f"{'x' * 61} " * 15
    tabs = "x\t" * 400
    log_path.write_text(f"first\n{coloured}\n{tabs}\n{wide_words}\nlast\n")
    page = await user.open_page("/jobs/lantern")
    line_height = await height(log_row(page, 1))
    await expect(log_row(page, 2).locator(".whole-toggle")).to_be_hidden()
    assert round(await height(log_row(page, 2)) / line_height) == 1
    for number in (3, 4):
        row = log_row(page, number)
        await expect(row.locator(".whole-toggle")).to_be_visible()
        assert round(await height(row.locator(".text")) / line_height) == 10


async def test_match_behind_the_tenth_row_of_a_line_is_shown(
    user: BrowserUser, log_path: Path
) -> None:
    log_path.write_text(f"first\n{'word ' * 12_000}the end\nlast\n")
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 3)).to_be_visible()
    await search_for(page, "the end")
    await expect(page.locator(".row.current mark")).to_have_text("the end")
    await expect(page.locator(".row.current mark")).to_be_in_viewport()


async def test_hostile_lines_leave_the_page_in_use(user: BrowserUser, log_path: Path) -> None:
    length = 63_000
    lines = [
        json.dumps({"event": "http://a/" + ")" * length}),
        "http://a/" + "." * length + "x",
        "http://a<" * (length // 9),
        "\x1b[31mx\x1b[32m" * (length // 11),
        '{"a":' + "[" * (length // 2) + "]" * (length // 2) + "}",
        '{"a":[' + "1.0," * (length // 4) + "1]}",
        json.dumps({f"a{number}": number for number in range(4_000)}),
    ]
    log_path.write_text("".join(f"{line}\n" for line in lines * 8) + "last\n")
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, len(lines) * 8 + 1)).to_be_visible()
    await page.get_by_role("button", name="Wrap").click()
    await page.locator(".log-rows").focus()
    await page.keyboard.press("g")
    for number in range(1, len(lines) + 1):
        await expect(log_row(page, number)).to_be_visible()
        assert await log_row(page, number).locator(".text *").count() < 300
    await log_row(page, 6).get_by_label("Fields").click()
    await expect(log_row(page, 6).locator(".fields")).to_contain_text("1.0")


async def test_line_with_thousands_of_fields_is_drawn_as_far_as_it_is_shown(
    user: BrowserUser, log_path: Path
) -> None:
    line = json.dumps({f"a{number}": number for number in range(4_000)})
    log_path.write_text(f"first\n{line}\n")
    page = await user.open_page("/jobs/lantern")
    row = log_row(page, 2)
    text = row.locator(".text")
    for _layout in ("wrapped", "not wrapped"):
        await expect(text).to_contain_text("a99=99")
        assert len(await text.text_content() or "") < 4_200
        assert await row.locator("*").count() < 250
        await row.get_by_role("button", name="Show all of this line").click()
        await expect(text).to_contain_text("a3999=3999")
        assert await row.locator("*").count() < 350
        await row.get_by_role("button", name="Show less").click()
        await page.get_by_role("button", name="Wrap").click()


async def test_rows_in_which_each_letter_matches_are_drawn_in_several_frames(
    user: BrowserUser, log_path: Path
) -> None:
    log_path.write_text(f"{'x' * 300}\n" * 40)
    page = await user.open_page("/jobs/lantern")
    await page.get_by_role("button", name="Wrap").click()
    await page.evaluate(
        """() => {
          window.most = 0;
          new MutationObserver((records) => {
            const added = records.flatMap(({ addedNodes }) => [...addedNodes]);
            const marks = added.map((node) => node.querySelectorAll?.("mark").length ?? 0);
            window.most = Math.max(window.most, marks.reduce((sum, count) => sum + count, 0));
          }).observe(document.querySelector(".log-rows"), { childList: true, subtree: true });
        }"""
    )
    await search_for(page, "x")
    await expect(log_row(page, 40).locator("mark")).to_have_count(200)
    await expect(log_row(page, 20).locator("mark")).to_have_count(200)
    assert await page.evaluate("window.most") < 2_000


async def test_urls_are_links_that_tell_nothing_of_the_page(
    user: BrowserUser, log_path: Path
) -> None:
    log_path.write_text(
        "see https://example.org/a?b=1#c, or javascript:alert(1)\n"
        '{"event":"pushed","at":"http://example.org/x"}\n'
        "see \x1b[1mhttps://example.org/\x1b[31mred\x1b[0m.\n"
    )
    page = await user.open_page("/jobs/lantern")
    link = log_row(page, 1).get_by_role("link")
    await expect(link).to_have_count(1)
    await expect(link).to_have_text("https://example.org/a?b=1#c")
    await expect(link).to_have_attribute("href", "https://example.org/a?b=1#c")
    await expect(link).to_have_attribute("target", "_blank")
    await expect(link).to_have_attribute("rel", "noopener noreferrer")
    await expect(log_row(page, 2).get_by_role("link")).to_have_attribute(
        "href", "http://example.org/x"
    )
    await log_row(page, 2).get_by_label("Fields").click()
    await expect(log_row(page, 2).locator(".fields .link")).to_have_text("http://example.org/x")
    styled = log_row(page, 3).get_by_role("link")
    await expect(styled).to_have_attribute("href", "https://example.org/red")
    await expect(styled.locator("[data-fg=red]")).to_have_text("red")
    # A match inside of a link is marked. Tab reaches the links of the current line.
    await search_for(page, "a?b")
    await expect(page.locator(".row.current .link mark")).to_have_text("a?b")
    await expect(link).to_have_attribute("tabindex", "0")


async def test_search_goes_one_way_by_n_and_enter_and_says_where_it_goes_on(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 30)
    page = await user.open_page("/jobs/lantern")
    await search_for(page, "line 1? of")
    count, current = page.locator(".log-search .count"), page.locator(".row.current .number")
    await expect(count).to_have_text("No matches")
    await page.get_by_label("Regular expression").click()
    await search_for(page, "line 1[0-2] of")
    await expect(count).to_have_text("1 of 3")
    await expect(current).to_have_text("12")
    await page.keyboard.press("Enter")
    await expect(current).to_have_text("11")
    await page.locator(".log-rows").focus()
    await page.keyboard.press("n")
    await expect(current).to_have_text("10")
    await page.keyboard.press("n")
    await expect(current).to_have_text("12")
    await expect(count).to_have_text("1 of 3 · back at the newest")
    await expect(page.locator("#announcer")).to_have_text(
        "No more matches: going on at the newest."
    )
    await page.keyboard.press("N")
    await expect(current).to_have_text("10")
    await expect(count).to_have_text("3 of 3 · back at the oldest")
    await page.keyboard.press("N")
    await expect(count).to_have_text("2 of 3")


async def test_search_bar_keeps_to_one_line_and_cuts_no_choice_beside_the_chart(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 3000)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 3000)).to_be_visible()
    # In a small window, the log is a tab.
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.get_by_role("tab", name="Log").click()
    await page.set_viewport_size({"width": 1280, "height": 900})
    await user.take_pictures(page, "log")
    await search_for(page, "line")
    await expect(page.locator(".log-search .count")).to_have_text("1 of 3,000")
    await page.get_by_role("button", name="Only matches").click()
    await expect(page.get_by_label("Lines around each match")).to_be_visible()
    await expect(page.locator(".log-status")).to_have_text("Following matches")
    is_one_line = "(bar) => bar.clientHeight < 1.5 * bar.firstElementChild.clientHeight"
    for width in (1440, 1366, 1280, 820):
        await page.set_viewport_size({"width": width, "height": 900})
        assert await page.locator(".log-search").evaluate(is_one_line), width
        # A choice is as wide as its longest text, unless it is cut.
        for select in await page.locator(".log select").all():
            assert await select.evaluate(WHY_CUT) == "", width
    await user.take_pictures(page, "log_search")


async def test_filter_with_lines_around_goes_on_after_the_log_was_cut(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 400)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 400)).to_be_visible()
    await search_for(page, "line 2 of")
    await page.get_by_role("button", name="Only matches").click()
    await page.get_by_label("Lines around each match").select_option("2")
    await wait_for_numbers(page, [1, 2, 3, 4])
    log_path.write_text("")
    append_text(log_path, "another beginning\n")
    append_numbered(log_path, 2, 3)
    await wait_for_numbers(page, [1, 2, 3])
    await expect(page.locator(".row .text").first).to_have_text("another beginning")


async def test_filter_shows_matches_with_lines_around_them_and_new_ones(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 3000)
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 3000)).to_be_visible()
    await page.get_by_label("Regular expression").click()
    await search_for(page, "line (5|7|2500) of")
    await expect(page.locator(".log-search .count")).to_have_text("1 of 3")
    await page.get_by_role("button", name="Only matches").click()
    await wait_for_numbers(page, [5, 7, 2500])
    await expect(page.locator(".log-status")).to_have_text("Following matches")
    await page.get_by_label("Lines around each match").select_option("2")
    await wait_for_numbers(page, [*range(3, 10), *range(2498, 2503)])
    await expect(page.locator(".row.context")).to_have_count(9)
    await expect(page.locator(".row.apart")).to_have_count(1)
    append_numbered(log_path, 3001, 3001)
    append_text(log_path, "2026-11-24T03:00:01 [info] another line 5 of this log\n")
    append_numbered(log_path, 3003, 3003)
    await wait_for_numbers(page, [*range(3, 10), *range(2498, 2503), *range(3000, 3004)])
    await expect(page.locator(".row.context")).to_have_count(12)
    await expect(page.locator(".row.apart")).to_have_count(2)
    # The search counts new matches.
    count = page.locator(".log-search .count")
    await expect(count).to_have_text("2 of 4")
    # Without the filter, the match stays in sight among all lines.
    await page.locator(".log-rows").focus()
    await page.keyboard.press("N")
    await expect(page.locator(".row.current .number")).to_have_text("3002")
    await page.keyboard.press("N")
    await expect(page.locator(".row.current .number")).to_have_text("5")
    async with page.expect_response(re.compile(r"/logs/lines\?limit=1$")):
        await page.keyboard.press("m")
    await expect(log_row(page, 4)).to_be_visible()
    await expect(log_row(page, 40)).to_be_attached()
    # New lines are counted from here.
    append_numbered(log_path, 3004, 3004)
    await expect(page.locator(".new-lines-button")).to_have_text("↓ 1 new line")
