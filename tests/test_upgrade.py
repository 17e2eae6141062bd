"""docs/how-to/upgrade.md: every new name exists, and no old one does."""

import re

from marianne_stream.settings import RENAMED, Settings
from tests.support.processes import CHECKOUT

PAGE = (CHECKOUT / "docs" / "how-to" / "upgrade.md").read_text(encoding="utf-8")


def renamed(heading: str) -> dict[str, str]:
    """Return the old names below a heading, each with its new one."""
    below = PAGE.partition(f"\n### {heading}\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)`", below, re.MULTILINE)
    assert rows, heading
    return dict(rows)


def test_settings_are_those_that_the_server_refuses() -> None:
    assert renamed("Settings") == RENAMED
    assert set(RENAMED.values()) <= set(Settings.model_fields)
