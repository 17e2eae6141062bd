"""Targets of Apprise: what the settings may name, and that nothing imports Apprise without need."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from marianne_stream.errors import SettingsError
from marianne_stream.notify import notifications
from marianne_stream.notify.rules import Rule
from tests.support.notify_targets import FAIL, PASSWORD, HttpTarget

RULE = Rule(on=("failed",), targets=("json://127.0.0.1:9/",))

IMPORT_SCRIPT = """
import asyncio, sys
from pathlib import Path
from marianne_stream.app import create_app
from marianne_stream.config.settings import Settings

async def main():
    create_app(Settings(no_auth=True, data_dir=Path(sys.argv[1])))

asyncio.run(main())
print([name for name in sys.modules if name.partition(".")[0] == "apprise"])
"""


@pytest.mark.parametrize(
    ("url", "schema"),
    [
        (f"nonsense://robot:{PASSWORD}@example.org", "nonsense"),
        (f"mailto://{PASSWORD}", "mailto"),
        (f"robot:{PASSWORD}@example.org", "no schema"),
        (PASSWORD, "no schema"),
    ],
)
def test_unknown_target_is_an_error_that_names_its_rule_and_no_secret(
    url: str, schema: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        notifications.open_targets(
            {"1": RULE, "2": Rule(on=("failed",), targets=(*RULE.targets, url))}
        )
    assert "rule 2" in str(caught.value)
    assert f"begins with {schema}," in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_rule_without_apprise_is_an_error_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "marianne_stream.notify.apprise_targets", raising=False)
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(SettingsError, match=r"pip install 'marianne-stream\[notify\]'"):
        notifications.open_targets({"1": RULE})


def test_server_without_rules_does_not_import_apprise(tmp_path: Path) -> None:
    command = [sys.executable, "-c", IMPORT_SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


async def test_target_with_optional_reports_its_failure() -> None:
    target = HttpTarget()
    target.behaviour = FAIL
    rule = Rule(on=("failed",), targets=(f"{target.url}?optional=yes",))
    (found,) = notifications.open_targets({"1": rule}).values()
    async with target.run():
        assert not await asyncio.to_thread(found.send, "title", "body")
    assert target.attempts == 1


async def test_text_is_escaped_for_a_target_that_shows_html() -> None:
    target = HttpTarget()
    rule = Rule(on=("failed",), targets=(f"{target.url}?format=html",))
    (found,) = notifications.open_targets({"1": rule}).values()
    async with target.run():
        assert await asyncio.to_thread(found.send, "title", "<b>bold</b>")
    assert target.bodies == ["&lt;b&gt;bold&lt;/b&gt;"]


async def test_target_follows_no_redirect_and_repeats_nothing_by_itself() -> None:
    target = HttpTarget()
    target.behaviour = FAIL
    url = f"{target.url}?redirect=yes&retry=3&wait=0.1"
    (found,) = notifications.open_targets({"1": Rule(on=("failed",), targets=(url,))}).values()
    async with target.run():
        assert not await asyncio.to_thread(found.send, "title", "body")
        assert target.attempts == 1
        target.behaviour = 307
        assert not await asyncio.to_thread(found.send, "title", "body")
        assert target.attempts == 2
