"""Accessibility: axe-core on all views, dark and light, and checks that axe-core lacks."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser, read_axe_source
from tests.support.external import require_node_module
from tests.support.job_list import launch_each_status

RUN = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map(
  ({ id, nodes }) => ({ id, nodes: nodes.map((node) => node.html + " " + node.failureSummary) }))"""


async def violations(page: Page) -> list[dict[str, Any]]:
    """Return the violations that axe-core finds."""
    found: list[dict[str, Any]] = await page.evaluate(RUN)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_no_violation(
    user: BrowserUser, conductor: SimulatedConductor, log_path: Path, scheme: str
) -> None:
    require_node_module("axe-core")
    log_path.write_text(
        "2026-11-24T03:00:00 [info] plain\n2026-11-24T03:00:00 [debug] debug\n"
        "2026-11-24T03:00:00 [warning] warning\n2026-11-24T03:00:00 [error] error\n"
        '{"event":"done","level":"info","sheet":3}\n'
        + "".join(
            f"\x1b[{code}mcolour {code}\x1b[0m\n" for code in (*range(30, 38), *range(90, 98))
        )
        + "".join(f"\x1b[{code}mcolour {code}\x1b[0m\n" for code in (*range(40, 48), 7))
    )
    for job_id in ("done", "broken", "resting", "stopped"):
        conductor.launch(job_id, 3)
    conductor.finish("done")
    conductor.fail_sheet("broken", 2, "The wind took it")
    conductor.finish("broken", "failed")
    conductor.pause("resting")
    conductor.cancel("stopped")
    conductor.fail_sheet("lantern", 2, "An error")
    conductor.complete_sheet("lantern", 1)
    # The page's policy forbids other scripts, and axe-core is one.
    page = await user.open_page("/")
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    await expect(page.locator(".job")).to_have_count(5)
    await page.evaluate(read_axe_source())
    assert await violations(page) == []
    await page.locator(".job .name", has_text="lantern").click()
    await expect(page.locator(".sheet")).to_have_count(4)
    await expect(page.locator(".row.line").last).to_be_visible()
    await page.get_by_role("button", name="Sheet 2").click()
    assert await violations(page) == []
    # The third view: the log, searched and scrolled back.
    await page.get_by_label("Search the whole log").fill("colour")
    await page.keyboard.press("Enter")
    await expect(page.locator(".row.current")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.locator(".row.line .number").first.click()
    assert await violations(page) == []
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    assert await violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
async def test_axe_finds_no_violation_in_a_job_that_failed_or_waits(
    user: BrowserUser, conductor: SimulatedConductor, scheme: str, width: int
) -> None:
    require_node_module("axe-core")
    conductor.launch("broken", 3, movements={1: 1, 2: 1, 3: 2})
    page = await user.open_page("/jobs/broken")
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    await page.set_viewport_size({"width": width, "height": 800})
    await expect(page.locator(".sheet")).to_have_count(3)
    conductor.dispatch("broken", 1)
    conductor.dispatch("broken", 2)
    await expect(page.locator(".segment[style]")).to_have_count(2)
    conductor.limit_rate("broken", 2, 300, is_reported=True)
    conductor.complete_sheet("broken", 1)
    await expect(page.locator(".notice[data-tone=waiting]")).to_be_visible()
    await page.locator(".sheet").nth(1).click()
    await page.evaluate(read_axe_source())
    assert await violations(page) == []
    broken = conductor.jobs["broken"].sheet(2)
    broken.update(stdout_tail="one", validation_details=[{"description": "a", "passed": False}])
    conductor.fail_sheet("broken", 2, "The wind took it")
    conductor.finish("broken", "failed")
    await expect(page.locator(".resume")).to_be_visible()
    await expect(page.locator(".sheet-panel .output")).to_be_visible()
    await expect(page.locator(".sheet-panel .error")).to_be_visible()
    assert await violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 820, 390])
async def test_axe_finds_no_violation_in_a_list_with_all_sections(
    user: BrowserUser, conductor: SimulatedConductor, scheme: str, width: int
) -> None:
    require_node_module("axe-core")
    launch_each_status(conductor)
    conductor.launch("limited", 4)
    conductor.dispatch("limited", 1)
    conductor.limit_rate("limited", 1, 3000, is_reported=True)
    conductor.submit("later", 2)
    conductor.daemon.pressure_level = "high"
    long_ago = '{ "since": null, "at": 1700000000000 }'
    await user.context.add_init_script(f"localStorage['marianne-stream visit'] ??= '{long_ago}'")
    page = await user.open_page("/?sort=duration")
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    await page.set_viewport_size({"width": width, "height": 900})
    await expect(page.locator(".job")).to_have_count(7)
    await expect(page.locator(".list-notices .notice")).to_have_count(2)
    await expect(page.locator(".visit-summary")).to_be_visible()
    await expect(page.locator(".job", has_text="limited").locator(".note")).not_to_be_empty()
    await page.evaluate(read_axe_source())
    assert await violations(page) == []
    await page.get_by_role("button", name="Seen: failure of broken").click()
    await page.get_by_role("button", name="Notify me").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    assert await violations(page) == []


async def test_many_status_changes_become_one_announcement(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    names = [f"job-{number}" for number in range(6)]
    for name in names:
        conductor.launch(name, 1)
    page = await user.open_page("/")
    await expect(page.locator(".job")).to_have_count(6)
    await page.evaluate(
        """() => {
          window.announcements = [];
          const region = document.querySelector("#announcer");
          new MutationObserver(() => window.announcements.push(region.textContent))
            .observe(region, { childList: true, characterData: true, subtree: true });
        }"""
    )
    for name in names:
        conductor.finish(name)
    await expect(page.locator("#announcer")).to_contain_text("more changes")
    assert await page.evaluate("window.announcements.length") <= 2


async def test_reduced_motion_stops_animations(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("a", 2)
    conductor.dispatch("a", 1)
    page = await user.open_page("/jobs/a")
    icon = page.locator(".sheet[data-tone=running] .icon")
    await expect(icon).to_be_visible()
    name = "(icon) => getComputedStyle(icon).animationName"
    assert await icon.evaluate(name) == "pulse"
    await page.emulate_media(reduced_motion="reduce")
    assert await icon.evaluate(name) == "none"


async def test_job_view_layout_does_not_shift(
    user: BrowserUser, conductor: SimulatedConductor, log_path: Path
) -> None:
    log_path.write_text("".join(f"line {number}\n" for number in range(50)))
    await user.context.add_init_script(
        """window.shift = 0;
        new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
          if (!entry.hadRecentInput) window.shift += entry.value;
        })).observe({ type: "layout-shift", buffered: true });"""
    )
    page = await user.open_page("/jobs/lantern")
    await expect(page.locator(".row.line").last).to_be_visible()
    await expect(page.locator(".sheet")).to_have_count(4)
    conductor.complete_sheet("lantern", 1)
    await expect(page.locator(".job-header .count")).to_have_text("1 / 4")
    assert await page.evaluate("window.shift") < 0.1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
async def test_axe_finds_no_violation_in_logs(
    user: BrowserUser, log_path: Path, scheme: str, width: int
) -> None:
    require_node_module("axe-core")
    log_path.write_text(
        "2026-11-24T03:00:00 [error] failed, see https://example.org/a\nTraceback\n  needle\n"
        f"2026-11-24T03:00:00 [info] {'long ' * 2000}\n2026-11-24T03:00:00 [info] after\n"
    )
    page = await user.open_page("/jobs/lantern")
    await page.set_viewport_size({"width": width, "height": 844})
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    await page.evaluate(read_axe_source())
    await expect(page.locator(".row.line")).to_have_count(5)
    await page.keyboard.press("d")
    await expect(page.get_by_label("Go to")).to_be_focused()
    assert await violations(page) == []
    await page.keyboard.press("Escape")
    await page.get_by_label("Search the whole log").fill("needle")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Only matches").click()
    await page.get_by_label("Lines around each match").select_option("1")
    await expect(page.locator(".row.context")).to_have_count(2)
    assert await violations(page) == []
    await page.goto(f"{user.address}/logs?" + "&".join(f"job=lantern&job=no{n}" for n in range(7)))
    await page.evaluate(read_axe_source())
    await expect(page.locator(".row.line")).to_have_count(5)
    await expect(page.locator(".log-job")).to_have_count(8)
    assert await violations(page) == []
