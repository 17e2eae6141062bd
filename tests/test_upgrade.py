"""docs/how-to/upgrade.md: every new name exists, and no old one does."""

import re

from marianne_stream.config.loading import RENAMED
from marianne_stream.config.settings import Settings
from tests.support.error_classes import error_classes
from tests.support.processes import CHECKOUT

PAGE = (CHECKOUT / "docs" / "how-to" / "upgrade.md").read_text(encoding="utf-8")


def renamed(heading: str) -> dict[str, str]:
    """Return the old names below a heading, each with its new one."""
    below = PAGE.partition(f"\n### {heading}\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)`", below, re.MULTILINE)
    assert rows, heading
    return dict(rows)


def test_settings_match_those_the_server_refuses() -> None:
    assert renamed("Settings") == RENAMED
    assert set(RENAMED.values()) <= set(Settings.model_fields)


def test_error_codes_match_the_server() -> None:
    codes, names = {error.code for error in error_classes()}, renamed("Error codes")
    assert set(names.values()) <= codes
    assert not set(names) & codes


def test_metrics_and_reasons_match_the_reference() -> None:
    reference = (CHECKOUT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(?:marianne_stream_)?(\w+)`", reference, re.MULTILINE))
    names = renamed("Metrics")
    assert set(names.values()) <= documented
    assert not set(names) & documented
