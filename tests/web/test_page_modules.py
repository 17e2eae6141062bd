"""Tests of the page's JavaScript under Node.js: `tests/web/static`."""

import subprocess
from pathlib import Path

import pytest

from tests.support.external import require_program

FOLDER = Path(__file__).with_name("static")


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.test.mjs")), ids=lambda path: path.name)
def test_javascript_tests_pass(script: Path) -> None:
    done = subprocess.run(
        [require_program("node"), "--test", "--test-reporter=tap", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n# fail 0\n" in done.stdout
    assert "\n# pass 0\n" not in done.stdout
