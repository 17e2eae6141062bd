"""Small windows: tabs of a job, what stays in sight, and that nothing is cut or overlaps."""

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser, find_too_wide
from tests.support.log_view import append_numbered, log_row

PORTRAIT = {"width": 390, "height": 844}
LANDSCAPE = {"width": 844, "height": 390}

SIZES = [(1440, 900), (1280, 800), (820, 1180), (640, 900), (390, 844), (360, 640), (844, 390)]

# Pairs of visible parts that overlap, and parts that are wider than the window or have no room.
# In a window too low for all of them, facts scroll below the head, and the chart below the panel.
MISPLACED = """() => {
  const main = document.querySelector("main");
  const isLow = main.scrollHeight > main.clientHeight;
  const names = [".top", ".job-top", ".sheets", ".sheet-panel", ".timeline", ".log",
    isLow ? "nothing" : ".job-details"];
  const parts = names.flatMap((name) => [...document.querySelectorAll(name)]
    .filter((element) => element.checkVisibility({ visibilityProperty: true }))
    .map((element) => [name, element.getBoundingClientRect()]));
  const found = [];
  for (const [name, box] of parts) {
    if (box.left < -0.5 || box.right > innerWidth + 0.5) found.push(`${name} is too wide`);
    if (box.height < 20) found.push(`${name} has no room`);
    for (const [other, its] of parts) {
      if (isLow && name === ".sheet-panel") continue;
      if (name < other && box.left < its.right - 0.5 && its.left < box.right - 0.5
        && box.top < its.bottom - 0.5 && its.top < box.bottom - 0.5) found.push(`${name} ${other}`);
    }
  }
  return found;
}"""

# Texts that are wider than their element, but for those that scroll, or end in an ellipsis and are
# told in full elsewhere: the name as the title, the error in the tab with the sheets.
CUT_TEXTS = """() => [...document.querySelectorAll(
    ".job-top *, .job-details *, .top *, .sheets .bar *, .sheet-panel-head *")]
  .filter((element) => element.checkVisibility({ visibilityProperty: true })
    && !element.closest(".visually-hidden, dialog, svg, h1[title], .job-error")
    && getComputedStyle(element).position !== "absolute"
    && element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0
    && getComputedStyle(element).overflowX !== "visible")
  .map((element) => element.outerHTML)"""


async def open_failed_job(
    user: BrowserUser, conductor: SimulatedConductor, log_path: Path, size: dict[str, int]
) -> Page:
    """Open a failed job with a log, retries and a long error in a window of a size."""
    append_numbered(log_path, 1, 200)
    conductor.launch("moss-of-the-northern-cathedral", 12, workspace=str(log_path.parent))
    page = await user.open_page("/jobs/moss-of-the-northern-cathedral")
    await page.set_viewport_size(size)  # type: ignore[arg-type]
    await expect(page.locator(".job-header .count")).to_have_text("0 / 12")
    conductor.dispatch("moss-of-the-northern-cathedral", 1)
    conductor.fail_sheet("moss-of-the-northern-cathedral", 1, "The wind took the lantern. " * 30)
    conductor.finish("moss-of-the-northern-cathedral", "failed")
    await expect(page.locator(".job-header .status-label")).to_have_text("failed")
    return page


async def test_turned_phone_says_beside_the_log_why_the_job_waits(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 2)
    conductor.dispatch("moss", 1)
    conductor.hold_sheet("moss", 1)
    page = await user.open_page("/jobs/moss")
    await page.set_viewport_size(LANDSCAPE)  # type: ignore[arg-type]
    await page.get_by_role("tab", name="Log").click()
    notice = page.locator(".notice:visible")
    await expect(notice).to_have_text("Sheet 1 waits for a person's decision.")
    box = await notice.bounding_box()
    assert box is not None
    assert box["height"] < 40
    await expect(page.locator(".log .bar").first).to_be_in_viewport()


async def test_turned_phone_of_a_failed_job_says_why_beside_the_log(
    user: BrowserUser, conductor: SimulatedConductor, log_path: Path
) -> None:
    page = await open_failed_job(user, conductor, log_path, PORTRAIT)
    error = page.locator(".job-error")
    # The panel of the sheet has it in full.
    await expect(page.locator(".sheet-panel .error")).to_contain_text("The wind took the lantern.")
    await expect(error).to_be_hidden()
    for size in (PORTRAIT, LANDSCAPE):
        await page.set_viewport_size(size)  # type: ignore[arg-type]
        await page.get_by_role("tab", name="Log").click()
        await expect(error).to_contain_text("The wind took the lantern.")
        box = await error.bounding_box()
        assert box is not None
        assert box["height"] < 40
        await expect(log_row(page, 200)).to_be_in_viewport(ratio=1)
        await expect(page.locator(".log .foot")).to_be_in_viewport(ratio=1)
    await page.get_by_role("tab", name="Sheets").click()
    await expect(error).to_be_hidden()


async def test_long_name_keeps_to_the_arrow_and_takes_one_row_on_a_turned_phone(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    name = "nightly-build-of-the-northern-cathedral-with-a-very-long-name-and-moss"
    conductor.launch(name, 12)
    page = await user.open_page(f"/jobs/{name}")
    await expect(page.locator(".job-header .count")).to_have_text("0 / 12")
    title = page.get_by_role("heading", level=1)
    await expect(title).to_have_attribute("title", name)
    for width, height in SIZES:
        await page.set_viewport_size({"width": width, "height": height})
        arrow, text = await page.locator(".back").bounding_box(), await title.bounding_box()
        assert arrow is not None
        assert text is not None
        assert arrow["x"] + arrow["width"] <= text["x"] + 8
        assert text["y"] <= arrow["y"] + arrow["height"] / 2 <= text["y"] + text["height"]
        notify = await page.locator(".notify").bounding_box()
        assert notify is not None
        if width > 640:
            # All of the head is in one row.
            assert notify["y"] < text["y"] + text["height"]
        if (width, height) == (844, 390):
            assert text["height"] < 30


async def test_panel_of_a_phone_takes_what_the_chart_leaves(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    error = "\n".join(f"File lantern_{number}.py" for number in range(40))
    page = await user.open_page()
    await page.set_viewport_size(PORTRAIT)  # type: ignore[arg-type]
    for name, count in (("small", 2), ("large", 30)):
        conductor.launch(name, count)
        conductor.dispatch(name, 1)
        conductor.fail_sheet(name, 1, error)
        conductor.finish(name, "failed")
        await page.goto(f"{user.address}/jobs/{name}")
        await expect(page.locator(".sheet-panel .error")).to_contain_text("lantern_39.py")
        sheets = await page.locator(".sheets").bounding_box()
        panel = await page.locator(".sheet-panel").bounding_box()
        assert sheets is not None
        assert panel is not None
        assert 0 <= panel["y"] - sheets["y"] - sheets["height"] < 20
        assert panel["y"] + panel["height"] > 820
        rest = await page.locator(".gantt").evaluate(
            "(chart) => chart.clientHeight % document.querySelector('.gantt-row').offsetHeight"
        )
        assert rest == 0
        button = await page.locator(".sheet-error button").bounding_box()
        text = await page.locator(".sheet-panel .error").bounding_box()
        assert button is not None
        assert text is not None
        assert text["y"] < button["y"] + button["height"]


async def test_phone_shows_one_tab_at_a_time(user: BrowserUser, log_path: Path) -> None:
    append_numbered(log_path, 1, 300)
    page = await user.open_page("/jobs/lantern")
    await page.set_viewport_size(PORTRAIT)  # type: ignore[arg-type]
    sheets, log, events = (page.locator(name) for name in (".sheets", ".log", ".timeline"))
    tabs = page.get_by_role("tab")
    await expect(tabs).to_have_text(["Sheets", "Log", "Files", "Events"])
    await expect(sheets).to_be_visible()
    await expect(log).to_be_hidden()
    await expect(events).to_be_hidden()
    await page.get_by_role("tab", name="Log").click()
    await expect(sheets).to_be_hidden()
    await expect(page.get_by_role("tabpanel")).to_have_attribute("id", "panel-log")
    await expect(log_row(page, 300)).to_be_in_viewport()
    append_numbered(log_path, 301, 310)
    await expect(log_row(page, 310)).to_be_in_viewport()
    await page.keyboard.press("ArrowRight")
    await expect(page.locator(".files")).to_be_visible()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("tab", name="Events")).to_be_focused()
    await expect(events).to_be_visible()
    await expect(log).to_be_hidden()
    is_low_enough = "(main) => main.scrollHeight <= main.clientHeight"
    assert await page.locator("main").evaluate(is_low_enough)
    # A wide window has sheets and events beside the log.
    await page.set_viewport_size({"width": 1280, "height": 800})
    await expect(page.locator("[role=tab]:visible")).to_have_text(["Log", "Files"])
    for part in (sheets, page.locator(".files"), events):
        await expect(part).to_be_visible()
    await page.get_by_role("tab", name="Log").click()
    await expect(log).to_be_visible()


async def test_turned_phone_shows_the_log(user: BrowserUser, log_path: Path) -> None:
    append_numbered(log_path, 1, 300)
    page = await user.open_page("/jobs/lantern")
    await page.set_viewport_size(PORTRAIT)  # type: ignore[arg-type]
    await expect(page.locator(".sheets")).to_be_visible()
    await page.set_viewport_size(LANDSCAPE)  # type: ignore[arg-type]
    await expect(page.get_by_role("tab", name="Log", selected=True)).to_be_visible()
    await expect(log_row(page, 300)).to_be_in_viewport()
    await expect(log_row(page, 292)).to_be_in_viewport()
    await expect(page.locator("#connection")).to_be_in_viewport()
    await user.take_pictures(page, "turned_phone_log", [(844, 390)])
    await page.set_viewport_size(PORTRAIT)  # type: ignore[arg-type]
    await expect(page.locator(".sheets")).to_be_visible()


async def test_shortcuts_and_links_of_the_log_open_its_tab(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 300)
    page = await user.open_page("/jobs/lantern")
    await page.set_viewport_size(PORTRAIT)  # type: ignore[arg-type]
    await expect(page.locator(".sheets")).to_be_visible()
    await page.keyboard.press("/")
    await expect(page.get_by_label("Search the whole log")).to_be_focused()
    await page.keyboard.press("Escape")
    await page.keyboard.press("k")
    await page.keyboard.press("x")
    await expect(page.locator(".row.selected")).to_have_count(1)
    await page.get_by_role("tab", name="Sheets").click()
    await page.reload()
    await expect(page.locator(".row.selected")).to_be_in_viewport()


async def test_connection_and_status_stay_in_sight(
    user: BrowserUser, conductor: SimulatedConductor, log_path: Path
) -> None:
    append_numbered(log_path, 1, 300)
    for number in range(60):
        conductor.launch(f"job-{number}", 2)
    page = await user.open_page("/")
    await page.set_viewport_size(PORTRAIT)  # type: ignore[arg-type]
    await expect(page.locator(".job").first).to_be_visible()
    await page.mouse.move(200, 500)
    await page.mouse.wheel(0, 3000)
    await page.wait_for_function("scrollY > 1000")
    connection = page.locator("#connection")
    await expect(connection).to_be_in_viewport()
    await expect(connection).to_have_text("Live from the conductor")
    # Screen readers read all of it; the line is short, also in the smallest window.
    lines = "(text) => text.clientHeight / Number.parseFloat(getComputedStyle(text).lineHeight)"
    for width in (390, 360):
        await page.set_viewport_size({"width": width, "height": 844})
        assert await connection.locator(".sentence").evaluate(lines) < 1.5
    await page.set_viewport_size(PORTRAIT)  # type: ignore[arg-type]
    heading = await page.locator(".section-head:visible").bounding_box()
    top = await page.locator(".top").bounding_box()
    assert heading is not None
    assert top is not None
    assert heading["y"] >= top["y"] + top["height"] - 1
    await page.goto(f"{user.address}/jobs/lantern")
    for name in ("Sheets", "Log", "Files", "Events"):
        await page.get_by_role("tab", name=name).click()
        await page.mouse.wheel(0, 2000)
        for part in (connection, page.locator(".job-header .status"), page.get_by_role("tablist")):
            await expect(part).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("size", SIZES)
async def test_no_part_of_a_job_is_cut_or_overlaps(
    user: BrowserUser, conductor: SimulatedConductor, log_path: Path, size: tuple[int, int]
) -> None:
    window = {"width": size[0], "height": size[1]}
    page = await open_failed_job(user, conductor, log_path, window)
    tabs = page.locator("[role=tab]:visible")
    for name in await tabs.all_inner_texts() or [""]:
        if name:
            await page.get_by_role("tab", name=name).click()
        is_large = size[0] > 640 and size[1] > 480
        if name == "Sheets" or is_large:
            # The failed sheet is open.
            await expect(page.locator(".sheet-panel .error")).to_be_visible()
            row = await page.locator(".sheet").first.bounding_box()
            panel = await page.locator(".sheet-panel").bounding_box()
            assert row is not None
            assert panel is not None
            is_beside = row["x"] + row["width"] <= panel["x"]
            assert is_beside or row["y"] + row["height"] <= panel["y"]
            await expect(page.locator(".sheet-panel h2")).to_be_in_viewport(ratio=1)
            # On the smallest screens the panel lies over the last rows until the page is scrolled.
            await page.locator("main").evaluate("(main) => main.scrollTo(0, main.scrollHeight)")
        assert await page.evaluate(MISPLACED) == []
        assert await page.evaluate(CUT_TEXTS) == []
        assert await find_too_wide(page) == []
        tab = f"job_failed_{name.lower()}" if name else "job_failed"
        await user.take_pictures(page, tab, [size])


async def test_chart_shows_whole_rows_and_all_that_fit(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("small", 9)
    page = await user.open_page("/jobs/small")
    await page.set_viewport_size({"width": 1440, "height": 900})
    gantt = page.locator(".gantt")
    await expect(page.locator(".sheet")).to_have_count(9)
    assert await gantt.evaluate("(chart) => chart.scrollHeight <= chart.clientHeight")
    conductor.launch("large", 300)
    await page.goto(f"{user.address}/jobs/large")
    await expect(page.locator(".sheet").first).to_be_visible()
    rest = await gantt.evaluate(
        "(chart) => chart.clientHeight % document.querySelector('.gantt-row').offsetHeight"
    )
    assert rest == 0
    assert await gantt.evaluate("(chart) => chart.clientHeight") > 400


async def test_times_of_log_lines_can_be_shown_on_a_phone(
    user: BrowserUser, log_path: Path
) -> None:
    append_numbered(log_path, 1, 40)
    page = await user.open_page("/jobs/lantern")
    await page.set_viewport_size(PORTRAIT)  # type: ignore[arg-type]
    await page.reload()
    await page.get_by_role("tab", name="Log").click()
    row = log_row(page, 40)
    time, text = row.locator("time"), row.locator(".text")
    await expect(text).to_be_visible()
    await expect(time).to_be_hidden()
    await page.get_by_role("button", name="Times").click()
    await expect(time).to_have_text("03:00:00.119")
    above, below = await time.bounding_box(), await text.bounding_box()
    assert above is not None
    assert below is not None
    assert above["y"] + above["height"] <= below["y"] + 1
    await expect(row).to_be_in_viewport(ratio=0.9)
