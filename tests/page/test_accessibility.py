"""Accessibility: axe-core on all views, sizes and schemes, and checks that axe-core lacks."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.axe import SCHEMES, find_all_violations, load_axe
from tests.support.browser import BrowserUser, open_browser_user
from tests.support.external import require_node_module
from tests.support.job_list import launch_each_status
from tests.support.log_view import append_numbered
from tests.support.processes import run_process


async def test_axe_finds_no_violation_in_a_list(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    require_node_module("axe-core")
    page = await user.open_page("/?sort=duration")
    await load_axe(page)
    await expect(page.locator(".empty .title")).to_have_text("No jobs yet.")
    assert await find_all_violations(page) == []
    launch_each_status(conductor)
    conductor.launch("limited", 4)
    conductor.dispatch("limited", 1)
    conductor.limit_rate("limited", 1, 3000, is_reported=True)
    conductor.submit("later", 2)
    conductor.daemon.pressure_level = "high"
    await expect(page.locator(".job")).to_have_count(7)
    await expect(page.locator(".list-notices .notice")).to_have_count(2)
    await expect(page.locator(".job", has_text="limited").locator(".note")).not_to_be_empty()
    assert await find_all_violations(page) == []
    await page.get_by_role("button", name="Seen: failure of broken").click()
    await page.get_by_role("button", name="Notify me").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    assert await find_all_violations(page) == []
    await page.keyboard.press("Escape")
    await conductor.stop()
    await expect(page.locator("#connection")).to_contain_text("Not live since")
    await expect(page.locator(".list-notices .notice")).to_have_count(1)
    assert await find_all_violations(page) == []


async def test_axe_finds_no_violation_after_a_visit(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    require_node_module("axe-core")
    launch_each_status(conductor)
    long_ago = '{ "since": null, "at": 1700000000000 }'
    await user.context.add_init_script(f"localStorage['marianne-stream visit'] ??= '{long_ago}'")
    page = await user.open_page("/")
    await load_axe(page)
    await page.locator(".visit-summary").click()
    assert await find_all_violations(page) == []


async def test_axe_finds_no_violation_in_a_job(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    require_node_module("axe-core")
    conductor.launch("broken", 300, movements={number: number // 50 for number in range(1, 301)})
    page = await user.open_page("/jobs/broken")
    await load_axe(page)
    await expect(page.locator(".sheet").first).to_be_visible()
    conductor.dispatch("broken", 1)
    conductor.dispatch("broken", 2)
    await expect(page.locator(".segment[style]")).to_have_count(2)
    conductor.limit_rate("broken", 2, 300, is_reported=True)
    conductor.complete_sheet("broken", 1)
    await expect(page.locator(".notice[data-tone=waiting]")).to_be_visible()
    await page.locator(".sheet").nth(1).click()
    assert await find_all_violations(page) == []
    await page.set_viewport_size({"width": 1280, "height": 800})
    broken = conductor.jobs["broken"].sheet(2)
    broken.update(stdout_tail="one", validation_details=[{"description": "a", "passed": False}])
    conductor.fail_sheet("broken", 2, "The wind took it")
    conductor.finish("broken", "failed")
    await expect(page.locator(".resume")).to_be_visible()
    await expect(page.locator(".sheet-panel .output")).to_be_visible()
    await expect(page.locator(".sheet-panel .error")).to_be_visible()
    assert await find_all_violations(page) == []
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    assert await find_all_violations(page) == []


async def test_axe_finds_no_violation_in_a_job_that_does_not_exist(user: BrowserUser) -> None:
    require_node_module("axe-core")
    page = await user.open_page("/jobs/nothing")
    await load_axe(page)
    await expect(page.locator("main")).to_contain_text("nothing")
    await expect(page.locator("#connection")).not_to_have_text("Connecting …")
    assert await find_all_violations(page) == []


async def test_axe_finds_no_violation_in_a_log(user: BrowserUser, log_path: Path) -> None:
    require_node_module("axe-core")
    log_path.write_text(
        "".join(
            f"2026-11-24T03:00:00 [{level}] {level}, see https://example.org/a\n"
            for level in ("info", "debug", "warning", "error")
        )
        + '{"event":"done","level":"info","sheet":3}\n'
        + "2026-11-24T03:00:00 [error] failed\nTraceback\n  needle\n"
        + f"2026-11-24T03:00:00 [info] {'long ' * 2000}\n"
        + "".join(
            f"\x1b[{code}mcolour {code}\x1b[0m\n" for code in (*range(30, 38), *range(90, 98))
        )
        + "".join(f"\x1b[{code}mcolour {code}\x1b[0m\n" for code in (*range(40, 48), 7))
    )
    page = await user.open_page("/jobs/lantern")
    await load_axe(page)
    await expect(page.locator(".row.line").last).to_be_visible()
    await page.keyboard.press("g")
    await page.locator(".row.json .number").click()
    await page.locator(".row.json .fields-toggle").click()
    await expect(page.locator(".row.selected .fields")).to_be_visible()
    assert await find_all_violations(page) == []
    await page.set_viewport_size({"width": 1280, "height": 800})
    await page.keyboard.press("e")
    await page.keyboard.press("d")
    await expect(page.get_by_label("Go to")).to_be_focused()
    assert await find_all_violations(page) == []
    await page.set_viewport_size({"width": 1280, "height": 800})
    await page.keyboard.press("Escape")
    await page.get_by_label("Search the whole log").fill("needle")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Only matches").click()
    await page.get_by_label("Lines around each match").select_option("1")
    await expect(page.locator(".row.context")).not_to_have_count(0)
    assert await find_all_violations(page) == []


async def test_axe_finds_no_violation_in_logs_of_several_jobs(
    user: BrowserUser, log_path: Path
) -> None:
    require_node_module("axe-core")
    append_numbered(log_path, 1, 5)
    others = "&".join(f"job=no{number}" for number in range(7))
    page = await user.open_page(f"/logs?job=lantern&{others}")
    await load_axe(page)
    await expect(page.locator(".row.line")).to_have_count(5)
    await expect(page.locator(".log-job")).to_have_count(8)
    assert await find_all_violations(page) == []


async def test_axe_finds_no_violation_in_the_sign_in_form(
    browser: Browser, conductor: SimulatedConductor, tmp_path: Path
) -> None:
    require_node_module("axe-core")
    del conductor
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-the-team\n")
    tokens.chmod(0o600)
    places = ("--conductor-socket", tmp_path / "c.sock", "--registry-path", tmp_path / "state.db")
    command = ("-m", "marianne_stream", "--port", 0, *places, "--token-file", tokens)
    async with (
        run_process(*command, "--data-dir", tmp_path / "private") as running,
        open_browser_user(browser, running.address, "sign_in_axe") as someone,
    ):
        page = await someone.open_page("/")
        await page.get_by_label("Token").fill("wrong-wrong-wrong-wrong")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("not known")
        await someone.take_pictures(page, "sign_in")
        await load_axe(page)
        assert await find_all_violations(page) == []
        # The header of a page with a button to sign out.
        await page.get_by_label("Token").fill("a-token-of-the-team")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("#connection")).to_have_text("Live from the conductor")
        await load_axe(page)
        assert await find_all_violations(page) == []
        for part in ("#connection .sentence", ".top form button"):
            await expect(page.locator(part)).to_be_in_viewport(ratio=1)


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


MARKS = """([selector, pseudo]) => {
  const element = document.querySelector(selector);
  const style = getComputedStyle(element, pseudo);
  return [style.backgroundColor, style.backgroundImage, style.borderTopStyle, style.outlineStyle,
    style.color].join(" | ");
}"""


SYSTEM_COLOUR = """(name) => {
  const probe = document.body.appendChild(document.createElement("span"));
  probe.style.forcedColorAdjust = "none";
  probe.style.backgroundColor = name;
  const colour = getComputedStyle(probe).backgroundColor;
  probe.remove();
  return colour;
}"""


@pytest.mark.parametrize(
    "media", [{"forced_colors": "active"}, {"contrast": "more"}], ids=["forced", "more"]
)
async def test_meanings_differ_in_forced_colours_and_with_more_contrast(
    user: BrowserUser, conductor: SimulatedConductor, log_path: Path, media: dict[str, Any]
) -> None:
    append_numbered(log_path, 1, 20)
    conductor.launch("moss", 3, workspace=str(log_path.parent))
    page = await user.open_page("/jobs/moss")
    await page.emulate_media(**media)
    await expect(page.locator(".sheet")).to_have_count(3)
    # The page sees each step, and draws a segment for it.
    segment = page.locator(".sheet .segment")
    steps = (conductor.dispatch, conductor.schedule_retry, conductor.dispatch)
    for count, step in enumerate(steps, 1):
        step("moss", 1)
        await expect(segment).to_have_count(count)
    await expect(page.get_by_role("button", name="1 failed attempt, 1 wait")).to_be_visible()
    await page.locator(".sheet").nth(1).click()
    for _ in range(2):
        await page.keyboard.press("k")
    await page.keyboard.press("x")
    await page.keyboard.press("k")

    async def mark(selector: str, pseudo: str | None = None) -> str:
        shown: str = await page.evaluate(MARKS, [selector, pseudo])
        return shown

    segments = [
        await mark(f".sheet .segment{kind}")
        for kind in ("[data-failed]", "[data-kind=wait]", "[data-kind=work]:last-child")
    ]
    assert len(set(segments)) == 3, segments
    for chosen, other in (
        (".row.current", ".row.line:not(.current, .selected)"),
        (".row.selected", ".row.line:not(.current, .selected)"),
        (".row.current", ".row.selected:not(.current)"),
        (".sheet[aria-expanded=true]", ".sheet[aria-expanded=false]"),
        (".log .foot [aria-pressed=true]", ".log .foot [aria-pressed=false]"),
        (".progress .fill", ".progress .track"),
    ):
        assert await mark(chosen) != await mark(other), chosen
    # Without its border, the rest of the track is hardly seen.
    assert "solid" in await mark(".progress .track")
    if "forced_colors" in media:
        highlight = await page.evaluate(SYSTEM_COLOUR, "Highlight")
        assert highlight in await mark(".log .foot [aria-pressed=true]")
        assert await page.evaluate(SYSTEM_COLOUR, "CanvasText") in await mark("#connection .dot")


async def test_bars_of_the_list_differ_in_forced_colours(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    launch_each_status(conductor)
    page = await user.open_page("/")
    await page.emulate_media(forced_colors="active")
    kinds = ("completed", "failed", "running")
    for kind in kinds:
        await expect(page.locator(f".part[data-kind={kind}]").first).to_be_visible()
    marks = [await page.evaluate(MARKS, [f".part[data-kind={kind}]", None]) for kind in kinds]
    assert len(set(marks)) == 3, marks


RATIOS = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const probe = document.body.appendChild(document.createElement("span"));
  const luminance = (name) => {
    probe.style.color = `var(--${name})`;
    canvas.fillStyle = getComputedStyle(probe).color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const texts = ["text", "muted", "accent", "error", "running", "completed", "failed", "paused",
    "waiting", "cancelled", "unknown", "job-pink", "job-olive"];
  const low = [];
  for (const ground of ["background", "panel", "raised", "selected"]) {
    for (const text of texts) {
      const [dark, light] = [luminance(text), luminance(ground)].sort((a, b) => a - b);
      const ratio = (light + 0.05) / (dark + 0.05);
      if (ratio < 4.5) low.push(`${text} on ${ground}: ${ratio.toFixed(2)}`);
    }
  }
  probe.remove();
  return low;
}"""


async def test_every_text_colour_has_contrast_on_every_background(user: BrowserUser) -> None:
    page = await user.open_page("/")
    for scheme in SCHEMES:
        for contrast in ("no-preference", "more"):
            await page.emulate_media(color_scheme=scheme, contrast=contrast)  # type: ignore[arg-type]
            assert await page.evaluate(RATIOS) == [], (scheme, contrast)
