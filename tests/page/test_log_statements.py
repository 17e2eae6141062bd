"""Lines are shown in the page as a terminal shows them, and found by what is shown."""

from pathlib import Path

from playwright.async_api import expect

from tests.support.browser import BrowserUser
from tests.support.log_view import append_numbered, append_text, log_row, search_for


async def test_line_that_is_rewritten_in_place_is_shown_once(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 150)
    end = log_path.stat().st_size
    append_text(log_path, "unfinished")
    page = await user.open_page("/jobs/lantern")
    partial = page.locator(".partial .row .text")
    for text in ("rewritten in place", "cut"):
        with log_path.open("r+b") as file:
            file.seek(end)
            file.write(text.encode())
            file.truncate()
        await expect(partial).to_have_text(text)
    # As long as the unfinished line: only its text tells that it is another.
    with log_path.open("r+b") as file:
        file.seek(end)
        file.write(b"new\nnext\n")
    await expect(log_row(page, 152)).to_contain_text("next")
    await expect(log_row(page, 151)).to_contain_text("new")
    await expect(partial).to_have_count(0)
    await expect(page.locator(".row.marker")).to_have_count(0)
    numbers = await page.locator(".row.line .number").all_inner_texts()
    assert numbers == [str(number) for number in range(152 - len(numbers) + 1, 153)]
    # Spinners erase the line and go to its beginning in other ways than by "\r".
    for back in ("\r", "\x1b[2K\x1b[1G", "\x1b[2K\x1b[G"):
        append_text(log_path, f"{back}with {back[1:]!r} 50 %")
        await expect(partial).to_contain_text("50 %")
        append_text(log_path, f"{back}75 %")
        await expect(partial).to_have_text("75 %")
    append_text(log_path, "\x1b[2K\x1b[1Gdone\n")
    await expect(log_row(page, 153).locator(".text")).to_have_text("done")
    await expect(page.get_by_text("75 %")).to_have_count(0)


async def test_search_finds_what_is_shown(user: BrowserUser, log_path: Path) -> None:
    append_text(
        log_path,
        "\ufeffthe first line\n"
        "sheet \x1b[31m7\x1b[0m begins\n"
        '{"event": "caf\\u00e9 says \\"no\\"", "level": "info"}\n',
    )
    page = await user.open_page("/jobs/lantern")
    await expect(log_row(page, 3)).to_contain_text('café says "no"')
    count = page.locator(".log-search .count")
    for text, number in (("sheet 7 begins", "2"), ('café says "no"', "3")):
        await search_for(page, text)
        await expect(count).to_have_text("1 of 1")
        await expect(page.locator(".row.current .number")).to_have_text(number)
    await search_for(page, "31m")
    await expect(count).to_have_text("No matches")
    await page.get_by_role("button", name="Regular expression").click()
    await search_for(page, "^the first")
    await expect(page.locator(".row.current .number")).to_have_text("1")
