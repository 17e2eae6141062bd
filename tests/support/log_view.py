"""The page's log view."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.async_api import Locator, Page, expect


def append_numbered(log: Path, first: int, last: int) -> None:
    """Append numbered lines."""
    with log.open("a", encoding="utf-8") as file:
        file.writelines(
            f"2026-11-24T03:00:00.119 [info] line {number} of many\n"
            for number in range(first, last + 1)
        )


def append_at(log: Path, *seconds: int) -> None:
    """Append a line for each of some seconds."""
    with log.open("a", encoding="utf-8") as file:
        file.writelines(f"2026-11-24T03:00:{second:02}Z [info] at {second}\n" for second in seconds)


def append_series(log: Path, count: int, word: str, *, start_s: int = 0) -> None:
    """Append numbered lines, two seconds apart."""
    begin = datetime(2026, 11, 24, 3, tzinfo=UTC) + timedelta(seconds=start_s)
    times = (begin + timedelta(seconds=2 * number) for number in range(count))
    with log.open("a", encoding="utf-8") as file:
        file.writelines(
            f"{time:%Y-%m-%dT%H:%M:%SZ} [info] {word} {number}\n"
            for number, time in enumerate(times, 1)
        )


def append_text(log: Path, text: str) -> None:
    """Append text to the log."""
    with log.open("a", encoding="utf-8") as file:
        file.write(text)


async def search_for(page: Page, text: str) -> None:
    """Search the log for a text."""
    await page.get_by_label("Search the whole log").fill(text)
    await page.keyboard.press("Enter")


def log_row(page: Page, number: int) -> Locator:
    """Return the row of a line."""
    return page.locator(".row.line").filter(
        has=page.get_by_role("button", name=f"Line {number}", exact=True)
    )


async def scroll_up(page: Page, by: int) -> None:
    """Scroll the log up with the mouse wheel."""
    await page.locator(".log-rows").hover()
    await page.mouse.wheel(0, -by)


async def wait_for_numbers(page: Page, numbers: Iterable[int]) -> None:
    """Wait until exactly the lines with some numbers are shown."""
    expected = [str(number) for number in numbers]
    await expect(page.locator(".row.line .number")).to_have_text(expected)
