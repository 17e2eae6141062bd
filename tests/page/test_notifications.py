"""Notifications about jobs: what a reader can choose, and what the browser allows."""

from playwright.async_api import Page, expect

from marianne_stream.demo.simulated_conductor import SimulatedConductor
from tests.support.browser import BrowserUser
from tests.support.waiting import wait_for_value

# Headless browsers show no notifications: record them instead. The reader answers the browser's
# question with `window.answer`; "android" stands for a browser that shows none of pages.
RECORD_NOTIFICATIONS = """
window.notifications = [];
window.Notification = class {
  static permission = window.answer === "granted" ? "granted" : "default";
  static async requestPermission() {
    this.permission = window.answer;
    return this.permission;
  }
  constructor(title, { tag }) {
    if (window.answer === "android") throw new TypeError("Illegal constructor.");
    if (Notification.permission !== "granted") return;
    window.notifications.push(title);
    window.tags = [...(window.tags ?? []), tag];
  }
};
"""


async def open_page(user: BrowserUser, path: str, *, answer: str = "granted") -> Page:
    """Open a page whose browser records notifications."""
    await user.context.add_init_script(f'window.answer = "{answer}"; {RECORD_NOTIFICATIONS}')
    return await user.open_page(path)


async def sent(page: Page) -> list[str]:
    """Return the notifications so far."""
    titles: list[str] = await page.evaluate("window.notifications")
    return titles


async def choose(page: Page, group: str, *labels: str) -> None:
    """Turn rules on in the dialog, and close it."""
    await page.locator(".notify").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("A page of this server must be open")
    for label in labels:
        await dialog.get_by_role("group", name=group).get_by_label(label).check()
    await dialog.get_by_role("button", name="Close").click()
    await expect(dialog).to_be_hidden()


async def test_rule_of_a_job_is_sent_once_and_ends_with_the_job(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 1)
    conductor.launch("other", 1)
    page = await open_page(user, "/jobs/moss")
    await expect(page.locator(".sheet")).to_have_count(1)
    await choose(page, "moss:", "It is completed or cancelled", "It fails")
    await expect(page.get_by_role("button", name="Notifying")).to_be_visible()
    await page.get_by_title("All jobs").click()
    await expect(page.locator(".job .notify-mark:visible")).to_have_count(1)
    await expect(page.get_by_role("button", name="Notify me")).to_be_visible()
    conductor.finish("other")
    conductor.complete_sheet("moss", 1)
    conductor.finish("moss")
    await expect(page.locator(".job .status-label")).to_have_text(["completed", "completed"])
    assert await sent(page) == ["moss: completed"]
    await expect(page.locator(".job .notify-mark:visible")).to_have_count(0)


async def test_rules_for_all_jobs_tell_failures_pauses_and_waits_for_a_person(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    for job_id in ("breaks", "rests", "asks"):
        conductor.launch(job_id, 3)
    page = await open_page(user, "/")
    await expect(page.locator(".job")).to_have_count(3)
    await choose(page, "Any job:", "It fails", "It is paused", "It waits for a person")
    conductor.fail_sheet("breaks", 1)
    conductor.finish("breaks", "failed")
    await wait_for_value(lambda: sent(page), lambda titles: len(titles) == 1)
    conductor.pause("rests")
    await wait_for_value(lambda: sent(page), lambda titles: len(titles) == 2)
    conductor.dispatch("asks", 1)
    conductor.hold_sheet("asks", 1)
    await wait_for_value(lambda: sent(page), lambda titles: len(titles) == 3)
    assert await sent(page) == ["breaks: failed", "rests: paused", "asks: waits for a person"]
    # The choice is kept, and what happened before is not sent again.
    await page.reload()
    await expect(page.get_by_role("button", name="Notifying")).to_be_visible()
    await expect(page.locator(".job")).to_have_count(3)
    conductor.launch("done", 1)
    conductor.finish("done")
    await expect(page.locator(".job")).to_have_count(4)
    assert await sent(page) == []


async def test_dialog_says_if_the_browser_denies_notifications(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 1)
    page = await open_page(user, "/jobs/moss", answer="denied")
    await page.locator(".notify").click()
    permission = page.locator(".permission")
    await expect(permission).to_have_text(
        "The browser has not allowed notifications yet. It will ask."
    )
    await user.take_pictures(page, "notify")
    box = page.get_by_role("group", name="Any job:").get_by_label("It fails")
    await box.click()
    await expect(permission).to_contain_text("The browser denies notifications from this page.")
    await expect(box).not_to_be_checked()
    await expect(page.get_by_role("button", name="Show an example")).to_be_disabled()
    # Keys of the page do nothing while the dialog is open.
    await page.keyboard.press("u")
    await expect(permission).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Notify me")).to_be_focused()


async def test_example_shows_that_notifications_arrive(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 1)
    page = await open_page(user, "/")
    await page.locator(".notify").click()
    await page.get_by_role("button", name="Show an example").click()
    assert await sent(page) == ["Marianne: an example"]


async def test_rule_of_a_job_does_not_notify_again_when_a_page_loads(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("rests", 2)
    conductor.launch("fails", 2)
    conductor.fail_sheet("fails", 1)
    conductor.finish("fails", "failed")
    page = await open_page(user, "/jobs/rests")
    await choose(page, "rests:", "It is paused")
    await page.goto(f"{user.address}/jobs/fails")
    await expect(page.locator(".job-header .status-label")).to_have_text("failed")
    await choose(page, "fails:", "It fails")
    conductor.pause("rests")
    await wait_for_value(lambda: sent(page), lambda titles: titles == ["rests: paused"])
    await page.goto(user.address)
    await expect(page.locator(".job .notify-mark:visible")).to_have_count(2)
    assert await sent(page) == []
    conductor.resume("fails")
    await expect(page.locator(".job", has_text="fails").locator(".status-label")).to_have_text(
        "running"
    )
    conductor.fail_sheet("fails", 2)
    conductor.finish("fails", "failed")
    await wait_for_value(lambda: sent(page), lambda titles: titles == ["fails: failed"])
    await expect(page.locator(".job .notify-mark:visible")).to_have_count(1)


async def test_pause_and_failure_of_a_job_are_two_notifications(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 2)
    page = await open_page(user, "/jobs/moss")
    await expect(page.locator(".sheet")).to_have_count(2)
    await choose(page, "moss:", "It is paused", "It fails")
    conductor.pause("moss")
    await wait_for_value(lambda: sent(page), lambda titles: len(titles) == 1)
    conductor.resume("moss")
    conductor.fail_sheet("moss", 1)
    conductor.finish("moss", "failed")
    await wait_for_value(lambda: sent(page), lambda titles: len(titles) == 2)
    assert len(set(await page.evaluate("window.tags"))) == 2


async def test_dialog_says_if_the_browser_shows_no_notifications_of_pages(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 1)
    page = await open_page(user, "/", answer="android")
    await page.locator(".notify").click()
    box = page.get_by_role("group", name="Any job:").get_by_label("It fails")
    await box.click()
    await expect(page.locator(".permission")).to_have_text(
        "This browser shows no notifications of pages."
    )
    await expect(box).not_to_be_checked()
    await expect(box).to_be_disabled()


async def test_button_says_if_the_permission_was_reset_and_asks_for_it(
    user: BrowserUser, conductor: SimulatedConductor
) -> None:
    conductor.launch("moss", 1)
    page = await open_page(user, "/")
    await choose(page, "Any job:", "It fails")
    await expect(page.locator(".notify")).to_have_text("Notifying")
    # The browser asks anew after a reload.
    await page.add_init_script("Notification.permission = 'default'")
    await page.reload()
    await page.get_by_role("button", name="Notifications not allowed").click()
    dialog = page.get_by_role("dialog")
    # An example is offered once the browser allows it.
    await expect(dialog.locator(".bar button:visible")).to_have_text(
        ["Allow notifications", "Close"]
    )
    await dialog.get_by_role("button", name="Allow notifications").click()
    await expect(page.locator(".permission")).to_have_text("The browser allows notifications.")
    await expect(page.locator(".notify")).to_have_text("Notifying")
